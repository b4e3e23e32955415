"""What runs a version: as asked, or refused with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxruntime
import pytest

from gateway.core.errors import InvalidModel
from gateway.core.providers import WORDS
from gateway.engine import providers
from gateway.engine.onnx import OnnxEngine
from tests.engine import graphs

if TYPE_CHECKING:
    from pathlib import Path

MISSING = [word for word in WORDS if word not in providers.installed()]


class Went:
    """A session that the runtime built, without what could not be started."""

    def __init__(self, *names: str) -> None:
        self._names = list(names)

    def get_providers(self) -> list[str]:
        return self._names


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.identity())
    return path


def test_the_processor_is_always_there() -> None:
    assert "cpu" in providers.installed()


def test_a_version_runs_on_what_it_asks_for(path: Path) -> None:
    session = OnnxEngine().load(path, model="fraud", version=1, threads=1, providers=("cpu",))

    assert session._native.get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize("word", MISSING)
def test_a_provider_that_this_build_lacks_is_refused_and_never_replaced(path: Path, word: str) -> None:
    with pytest.raises(InvalidModel, match=rf"asks for the provider {word}.*install.*or list one") as refused:
        OnnxEngine().load(path, model="fraud", version=1, threads=1, providers=(word, "cpu"))

    assert refused.value.code == "unsupported"


def test_a_device_that_could_not_be_started_is_refused_and_never_replaced() -> None:
    with pytest.raises(InvalidModel, match="provider cuda cannot be used on this machine") as refused:
        providers.check(Went("CPUExecutionProvider"), ("cuda", "cpu"))

    assert refused.value.code == "unsupported"


def test_a_session_that_has_all_it_asked_for_is_taken() -> None:
    providers.check(Went("CUDAExecutionProvider", "CPUExecutionProvider"), ("cuda:1", "cpu"))


def test_the_runtime_is_told_the_device_and_to_keep_all_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ["CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: everything)

    assert providers.native(["tensorrt", "cuda:1", "cpu"]) == [
        ("TensorrtExecutionProvider", {}),
        ("CUDAExecutionProvider", {"use_tf32": "0", "device_id": "1"}),
        ("CPUExecutionProvider", {}),
    ]
