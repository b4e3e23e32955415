"""What a route hides is hidden in what is written, and what cannot be hidden is not written."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from gateway.core.recording import read_record
from gateway.models.golden import parse_requests
from gateway.recordings.line import MAX_BYTES, TooLarge, line_of
from gateway.recordings.redaction import HASHED_MOST, Redactor, Unhidden
from tests.recordings.answers import answered

SECRET = b"s" * 32


def written(secret: bytes = SECRET, **how: Any) -> dict[str, Any]:
    line: dict[str, Any] = orjson.loads(line_of(answered(**how), Redactor(secret), 1_000))
    return line


def data(line: dict[str, Any], name: str, role: str = "inputs") -> list[Any]:
    found: list[Any] = next(each["data"] for each in line[role] if each["name"] == name)
    return found


def hide(tensor: Any, how: Any, name: str = "x") -> Any:
    redact = read_record({"percent": 1, "redact": {name: how}}).redact
    return Redactor(SECRET).hidden(redact, {"x": tensor}, {})[0]["x"]


def test_a_line_is_a_request_of_the_protocol_with_what_was_answered() -> None:
    line = written()

    assert line == {
        "id": line["id"],
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0.1, 2.5, 3.0]},
            {"name": "email", "datatype": "BYTES", "shape": [1, 1], "data": ["ada@example.com"]},
        ],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]},
            {"name": "score", "datatype": "FP32", "shape": [1], "data": [0.75]},
        ],
        "version": "2", "rule": "split", "revision": 7, "at_ms": 1_000, "redacted": False,
    }  # fmt: skip


def test_golden_requests_are_read_from_a_recording() -> None:
    (request,) = parse_requests(line_of(answered(), Redactor(SECRET), 0))

    assert request.inputs["x"].values.tolist() == np.array([[0.1, 2.5, 3.0]], np.float32).tolist()
    assert request.outputs["score"].values.tolist() == [0.75]


def test_what_is_no_finite_number_is_null() -> None:
    assert data(written(x=(float("nan"), float("inf"), 1.0)), "x") == [None, None, 1.0]


def test_the_id_of_the_caller_is_not_in_a_line() -> None:
    assert b"user-5" not in line_of(answered(), Redactor(SECRET), 0)
    assert len(written()["id"]) == 16


@pytest.mark.parametrize("how", ["drop", "hash", {"constant": "somebody"}])
def test_a_value_that_is_hidden_is_nowhere_in_the_line(how: Any) -> None:
    line = line_of(answered(redact={"email": how}), Redactor(SECRET), 0)

    assert b"ada" not in line
    assert orjson.loads(line)["redacted"] is True


def test_a_tensor_that_is_dropped_is_left_out() -> None:
    assert [each["name"] for each in written(redact={"email": "drop"})["inputs"]] == ["x"]


def test_equal_values_have_equal_hashes_under_one_secret_only() -> None:
    one, same = written(redact={"email": "hash"}), written(redact={"email": "hash"})
    other = written(redact={"email": "hash"}, email="bob@example.com")
    elsewhere = written(b"t" * 32, redact={"email": "hash"})

    assert data(one, "email") == data(same, "email")
    assert data(one, "email") != data(other, "email")
    assert data(one, "email") != data(elsewhere, "email")


def test_one_column_is_hidden_and_the_others_stay() -> None:
    line = written(redact={"x[1]": {"constant": 0}, "x[2]": "hash"})

    first, second, third = data(line, "x")
    assert (round(first, 6), second) == (0.1, 0)
    assert third != 3.0


def test_an_output_is_hidden_like_an_input() -> None:
    line = written(redact={"label": "drop"})

    assert [each["name"] for each in line["outputs"]] == ["score"]
    assert line["redacted"] is False, "the inputs are what the version got"


def test_hiding_leaves_the_tensors_of_the_request_alone() -> None:
    request = answered(redact={"x": {"constant": 0}})

    line_of(request, Redactor(SECRET), 0)

    assert request.feeds[0].tolist() == np.array([[0.1, 2.5, 3.0]], np.float32).tolist()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int64, np.uint64])
def test_a_hash_of_a_number_is_a_number_of_its_type(kind: Any) -> None:
    hidden = hide(np.arange(6).reshape(2, 3).astype(kind), "hash")

    assert hidden.dtype == kind
    assert len(set(hidden.ravel().tolist())) > 1
    assert (hidden >= 0).all()
    assert np.isfinite(hidden.astype(np.float64)).all()


@pytest.mark.parametrize(
    ("tensor", "how", "name"),
    [
        (np.ones((1, 3), np.float32), "hash", "y"),
        (np.ones((1, 3), np.float32), "hash", "x[3]"),
        (np.ones(3, np.float32), "hash", "x[0]"),
        (np.ones((1, 3), np.bool_), "hash", "x"),
        (np.ones((1, HASHED_MOST + 1), np.float32), "hash", "x"),
        (np.ones((1, 3), np.float32), {"constant": "a"}, "x"),
        (np.ones((1, 3), np.float16), {"constant": 1e9}, "x"),
        (np.ones((1, 3), np.int8), {"constant": 300}, "x"),
        (np.ones((1, 3), np.int64), {"constant": 1.5}, "x"),
        (np.ones((1, 3), np.int64), {"constant": True}, "x"),
        (np.ones((1, 3), np.bool_), {"constant": 1}, "x"),
        (np.array([["a"]], object), {"constant": 1}, "x"),
    ],
)
def test_what_cannot_be_hidden_is_refused(tensor: Any, how: Any, name: str) -> None:
    with pytest.raises(Unhidden):
        hide(tensor, how, name)


def test_a_request_that_is_too_large_is_no_line() -> None:
    with pytest.raises(TooLarge):
        line_of(answered(email="a" * MAX_BYTES), Redactor(SECRET), 0)
