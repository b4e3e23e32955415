"""What is recorded of a model's traffic, as a route document says it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from gateway.core.document import parse
from gateway.core.errors import InvalidDocument
from gateway.core.recording import KEEP_SECONDS, MAX_BYTES, POINTS, Record, Redaction, read_record
from gateway.core.signature import Signature, TensorSpec
from gateway.core.slots import SLOTS


def refused(data: object) -> InvalidDocument:
    with pytest.raises(InvalidDocument) as caught:
        read_record(data)
    return caught.value


def test_nothing_is_recorded_unless_the_route_says_so() -> None:
    assert parse({"model": "fraud", "split": {"1": 1}}).record is None


def test_a_record_is_read_as_it_is_written() -> None:
    data = {"percent": 2.5, "redact": {"email": "drop", "x[3]": "hash", "x[4]": {"constant": 0}}, "keep": "2h",
            "max_bytes": "2g"}  # fmt: skip

    record = read_record(data)

    assert record.as_dict() == data
    assert record.redact == (
        Redaction("email", None, "drop"), Redaction("x", 3, "hash"), Redaction("x", 4, "constant", 0)
    )  # fmt: skip
    assert (record.keep_seconds, record.max_bytes) == (7200, 2 << 30)


def test_what_is_left_out_is_a_day_and_64_mib() -> None:
    assert read_record({"percent": 1, "redact": {}}) == Record(1, (), KEEP_SECONDS, MAX_BYTES)


def test_that_nothing_is_to_be_hidden_has_to_be_written_down() -> None:
    assert refused({"percent": 1}).field == "redact"


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"percent": 101}, "percent", "0 to 100"),
        ({"percent": -1}, "percent", "0 to 100"),
        ({"percent": float("nan")}, "percent", "0 to 100"),
        ({"percent": True}, "percent", "no percent"),
        ({"percent": "1%"}, "percent", "no percent"),
        ({"redact": ["email"]}, "redact", "drop"),
        ({"redact": {"email": "blur"}}, "redact.email", "drop, hash"),
        ({"redact": {"email": 3}}, "redact.email", "drop, hash"),
        ({"redact": {"email": "constant"}}, "redact.email", "needs a value"),
        ({"redact": {"email": {"constant": None}}}, "redact.email.constant", "no value"),
        ({"redact": {"email": {"constant": float("inf")}}}, "redact.email.constant", "no value"),
        ({"redact": {"email": {"constant": 1, "salt": 2}}}, "redact.email.salt", "no member"),
        ({"redact": {"x[3]": "drop"}}, "redact.'x[3]'", "cannot be left out"),
        ({"redact": {3: "drop"}}, "redact.3", "no text"),
        ({"redact": {f"x[{place}]": "hash" for place in range(1001)}}, "redact", "too many"),
        ({"keep": "31d"}, "keep", "no duration"),
        ({"keep": "721h"}, "keep", "out of range"),
        ({"max_bytes": 1 << 30}, "max_bytes", "no size"),
        ({"max_bytes": "7m"}, "max_bytes", "out of range"),
        ({"salt": "x"}, "salt", "no member"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_its_name(change: dict[str, Any], field: str, reason: str) -> None:
    caught = refused({"percent": 1, "redact": {}} | change)

    assert caught.field == field
    assert reason in caught.reason


def test_a_size_is_a_whole_number_of_mib() -> None:
    with pytest.raises(InvalidDocument, match="whole MiB"):
        Record(1, (), max_bytes=(8 << 20) + 1)


def test_as_many_are_recorded_as_the_percent_says_in_every_slot_alike() -> None:
    record, random = Record(10, ()), Random(7)
    width = POINTS // SLOTS

    of_a_slot = [record.takes(slot * width + random.randrange(width)) for slot in (0, 4999, 9999) for _ in range(4000)]

    for start in range(0, 12_000, 4000):
        assert 0.085 < sum(of_a_slot[start : start + 4000]) / 4000 < 0.115


def test_the_copied_are_recorded_as_often_as_the_others() -> None:
    record, random = Record(10, ()), Random(7)

    copied = [record.takes(random.getrandbits(32) << 32 | random.randrange(1 << 25)) for _ in range(20_000)]

    assert 0.09 < sum(copied) / 20_000 < 0.11


@pytest.mark.parametrize(("percent", "expected"), [(0, 0), (100, 1000)])
def test_none_is_none_and_all_is_all(percent: float, expected: int) -> None:
    random = Random(7)

    assert sum(Record(percent, ()).takes(random.getrandbits(64)) for _ in range(1000)) == expected


SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 3)), TensorSpec("ids", "INT64", (-1,)), TensorSpec("many", "FP32", (-1, -1))),
    (TensorSpec("flag", "BOOL", (-1, 1)), TensorSpec("email", "BYTES", (-1, 1)), TensorSpec("x", "FP32", (-1, 5))),
)


@pytest.mark.parametrize(
    ("name", "how", "reason"),
    [
        ("x", "hash", ""),
        ("x[2]", "hash", ""),
        ("x[3]", "hash", "no column 3"),
        ("ids", "hash", ""),
        ("ids[0]", "hash", "no column 0"),
        ("many[9]", "hash", ""),
        ("phone", "drop", "is called 'phone'"),
        ("flag", "hash", "constant: false"),
        ("flag", "drop", ""),
        ("flag", {"constant": True}, ""),
        ("flag", {"constant": 1}, "does not hold 1"),
        ("email", {"constant": "x"}, ""),
        ("email", {"constant": 1}, "does not hold 1"),
        ("x", {"constant": 1}, ""),
        ("x", {"constant": 0.5}, ""),
        ("x", {"constant": True}, "does not hold true"),
        ("ids", {"constant": 0.5}, "does not hold 0.5"),
        ("ids", {"constant": "x"}, "does not hold 'x'"),
    ],
)
def test_what_a_signature_says_can_never_be_hidden_is_known_beforehand(name: str, how: Any, reason: str) -> None:
    (redaction,) = read_record({"percent": 1, "redact": {name: how}}).redact

    why = redaction.why_not(SIGNATURE)

    assert (reason in why) if reason else why == ""
