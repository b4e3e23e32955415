"""The words for execution providers, in settings and in metadata."""

from __future__ import annotations

import pytest

from gateway.core.providers import Provider, read_provider, read_providers, use_the_processor_only


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("cpu", Provider("cpu")),
        ("cuda", Provider("cuda", 0)),
        ("cuda:1", Provider("cuda", 1)),
        ("tensorrt:12", Provider("tensorrt", 12)),
        ("openvino", Provider("openvino")),
    ],
)
def test_a_word_names_a_provider_and_perhaps_its_device(text: str, provider: Provider) -> None:
    assert read_provider(text) == provider


@pytest.mark.parametrize("text", ["", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:1000", " cpu", "CUDAExecutionProvider"])
def test_what_names_no_provider_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="cpu, cuda, tensorrt, openvino, coreml"):
        read_provider(text)


@pytest.mark.parametrize("text", ["cpu:0", "openvino:1", "coreml:1"])
def test_only_those_of_which_a_machine_has_several_take_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="cuda or tensorrt only"):
        read_provider(text)


def test_a_list_keeps_its_order() -> None:
    assert read_providers(["tensorrt", "cuda:1", "cpu"]) == ("tensorrt", "cuda:1", "cpu")


def test_a_provider_is_named_once() -> None:
    with pytest.raises(ValueError, match="once"):
        read_providers(["cuda", "cuda:1"])


def test_a_device_anywhere_in_the_list_is_no_processor_only() -> None:
    assert use_the_processor_only(["cpu"])
    assert not use_the_processor_only(["cuda", "cpu"])
