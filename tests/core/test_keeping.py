"""Which inputs are kept for whoever learns from labels, as a route document says it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from gateway.core.document import parse
from gateway.core.errors import InvalidDocument
from gateway.core.keeping import STREAM, Keeping, read_keeping
from gateway.core.recording import Redaction
from gateway.core.signature import Signature, TensorSpec


def refused(data: object) -> InvalidDocument:
    with pytest.raises(InvalidDocument) as caught:
        read_keeping(data)
    return caught.value


def test_no_input_is_kept_unless_the_route_says_so() -> None:
    route = parse({"model": "fraud", "split": {"1": 1}})

    assert route.feedback is None
    assert "feedback" not in route.as_dict()


def test_what_a_route_says_is_read_as_it_is_written() -> None:
    data = {"inputs": ["x", "email"], "percent": 2.5, "redact": {"email": "drop", "x[3]": "hash"}, "stream": 7}

    route = parse({"model": "fraud", "split": {"1": 1}, "feedback": data})

    assert route.as_dict()["feedback"] == data
    assert parse(route.as_dict()) == route
    assert route.feedback is not None
    assert route.feedback.redact == (Redaction("email", None, "drop"), Redaction("x", 3, "hash"))


def test_what_is_left_out_is_every_answer_and_a_hundred_thousand() -> None:
    assert read_keeping({"inputs": "all", "redact": {}}) == Keeping((), None, 100, STREAM)


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"inputs": "none"}, "inputs", "a list of names"),
        ({"inputs": []}, "inputs", "names none"),
        ({"inputs": ["x", "x"]}, "inputs", "names none, or one twice"),
        ({"inputs": [3]}, "inputs", "no text"),
        ({"inputs": ["x"], "redact": {"email": "drop"}}, "redact", "of which nothing is kept"),
        ({"percent": 101}, "percent", "0 to 100"),
        ({"percent": "all"}, "percent", "no percent"),
        ({"redact": {"email": "blur"}}, "redact.email", "drop, hash"),
        ({"stream": 0}, "stream", "out of range"),
        ({"stream": True}, "stream", "out of range"),
        ({"stream": 10_000_001}, "stream", "out of range"),
        ({"keep": "1h"}, "keep", "no member"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(change: dict[str, Any], field: str, reason: str) -> None:
    caught = refused({"inputs": "all", "redact": {}} | change)

    assert caught.field == field
    assert reason in caught.reason


@pytest.mark.parametrize("missing", ["inputs", "redact"])
def test_what_is_kept_and_that_nothing_is_hidden_has_to_be_written_down(missing: str) -> None:
    data = {"inputs": "all", "redact": {}}
    del data[missing]

    assert refused(data).field == missing


@pytest.mark.parametrize(("percent", "least", "most"), [(0, 0, 0), (10, 850, 1150), (100, 10_000, 10_000)])
def test_as_many_are_kept_as_the_percent_says(percent: float, least: int, most: int) -> None:
    keeping, random = Keeping((), percent=percent), Random(7)

    assert least <= sum(keeping.takes(random.getrandbits(64)) for _ in range(10_000)) <= most


def test_all_inputs_are_kept_or_those_that_are_named() -> None:
    assert Keeping(()).kept(["x", "y"]) == {"x", "y"}
    assert Keeping((), ("y", "z")).kept(["x", "y"]) == {"y"}


SIGNATURE = Signature((TensorSpec("x", "FP32", (-1, 3)),), (TensorSpec("score", "FP32", (-1, 1)),))


@pytest.mark.parametrize(
    ("inputs", "redact", "found"),
    [
        ("all", {}, None),
        (["x"], {"x[2]": "hash"}, None),
        (["x", "y"], {}, ("inputs", "'y'")),
        ("all", {"x[3]": "hash"}, ("redact.x[3]", "no column 3")),
        ("all", {"score": "drop"}, ("redact.score", "'score'")),
    ],
)
def test_what_a_version_does_not_have_is_found_by_its_name(
    inputs: Any, redact: dict[str, Any], found: tuple[str, str] | None
) -> None:
    why = read_keeping({"inputs": inputs, "redact": redact}).why_not(SIGNATURE)

    assert (why is None) == (found is None)
    if why is not None and found is not None:
        assert why[0] == found[0]
        assert found[1] in why[1]
