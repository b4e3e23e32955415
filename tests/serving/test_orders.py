"""Which version an order of the repository extension names, and what it may not ask for."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.errors import InvalidRequest, UnknownVersion
from gateway.serving.orders import ordered_version


@pytest.mark.parametrize(
    ("parameters", "elsewhere", "version"),
    [
        ({}, (), None),
        ({"unload_dependents": False}, (None,), None),
        ({"version": "2"}, (), 2),
        ({"version": 2}, (), 2),
        ({}, ("2", None), 2),
        ({"version": 2}, ("2", "2"), 2),
    ],
)
def test_a_version_may_be_named_in_any_place(
    parameters: dict[str, object], elsewhere: tuple[str | None, ...], version: int | None
) -> None:
    assert ordered_version("fraud", parameters, *elsewhere) == version


@pytest.mark.parametrize(
    ("parameters", "elsewhere", "code"),
    [
        ({"version": 1}, ("2",), "invalid_parameter"),
        ({}, ("1", "2"), "invalid_parameter"),
        ({"version": True}, (), "invalid_parameter"),
        ({"version": 1.0}, (), "invalid_parameter"),
        ({"version": ["1"]}, (), "invalid_parameter"),
        ({"config": "{}"}, (), "unsupported_parameter"),
        ({"file:1/model.onnx": "AAAA"}, (), "unsupported_parameter"),
        ({"priority": 1}, (), "unsupported_parameter"),
    ],
)
def test_what_cannot_be_honoured_is_refused(parameters: dict[str, Any], elsewhere: tuple[str, ...], code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ordered_version("fraud", parameters, *elsewhere)

    assert caught.value.code == code


@pytest.mark.parametrize("text", ["", "0", "01", "latest", "-1", "9" * 40])
def test_what_is_no_version_is_an_unknown_one(text: str) -> None:
    for parameters, elsewhere in (({"version": text}, ()), ({}, (text,))):
        with pytest.raises(UnknownVersion):
            ordered_version("fraud", parameters, *elsewhere)
