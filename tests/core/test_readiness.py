"""What replicas say of a canary before its first traffic, and what that means taken together."""

from __future__ import annotations

import json

import pytest

from gateway.core.errors import InvalidDocument
from gateway.core.readiness import Readiness, read_words, together, written_words

READY = Readiness("r1", 7)


def words(**changes: object) -> str:
    return json.dumps({"fraud": READY.as_dict() | changes})


def test_what_a_replica_says_is_read_as_it_was_written() -> None:
    said = {
        "fraud": READY,
        "digits": Readiness("r2", 3, "version 2 is loading", {2: "request 1 differs", 3: "request 4 differs"}),
    }

    assert read_words(written_words(said)) == said


def test_a_canary_is_ready_when_every_replica_that_speaks_says_so() -> None:
    assert together("fraud", READY, {"b": words(), "c": words(revision=9)}).is_ready
    assert together("fraud", READY, {}).is_ready


@pytest.mark.parametrize(
    ("said", "lacks"),
    [
        (words(lacks="version 2 is FAILED: bad_model"), "replica b lacks it: version 2 is FAILED: bad_model"),
        (words(revision=6), "replica b has not looked at revision 7 yet"),
        (words(rollout="r0", failed={"2": "of another rollout"}), "replica b has not looked at revision 7 yet"),
        ("{}", "replica b has not looked at revision 7 yet"),
        ("garbage", "replica b cannot be understood"),
        ("[]", "replica b cannot be understood"),
    ],
)
def test_a_replica_that_lacks_the_canary_is_named(said: str, lacks: str) -> None:
    found = together("fraud", READY, {"a": words(), "b": said, "c": words()})

    assert found.lacks.startswith(lacks)
    assert not found.is_ready
    assert found.failed == {}


def test_what_is_missing_here_is_said_before_what_is_missing_elsewhere() -> None:
    here = Readiness("r1", 7, lacks="version 2 is loading")

    assert together("fraud", here, {"b": words(lacks="x")}).lacks == "version 2 is loading"


def test_a_failure_of_one_replica_is_a_failure_of_all() -> None:
    there = {"b": words(), "c": words(failed={"2": "request 3 differs"})}
    elsewhere = together("fraud", READY, there)
    here = together("fraud", Readiness("r1", 7, failed={2: "request 1 differs"}), there)

    assert elsewhere.failed == {2: "on replica c: request 3 differs"}
    assert here.failed == {2: "request 1 differs"}
    assert not here.is_ready


def test_of_several_canaries_each_fails_for_itself_wherever_that_was_seen() -> None:
    said = {"b": words(failed={"3": "request 1 differs"}), "c": words(failed={"3": "request 2 differs"})}

    found = together("fraud", Readiness("r1", 7, failed={2: "request 9 differs"}), said)

    assert found.failed == {2: "request 9 differs", 3: "on replica b: request 1 differs"}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("7", ""),
        ('{"fraud": 7}', "fraud"),
        ('{"fraud": {"rollout": "r1"}}', "fraud.revision"),
        (words(lacks=None), "fraud.lacks"),
        (words(failed="request 3 differs"), "fraud.failed"),
        (words(failed={"2": 7}), "fraud.failed"),
        (words(failed={"two": "request 3 differs"}), "fraud.failed"),
        (words(revision=True), "fraud.revision"),
        (words(more=1), "fraud.more"),
    ],
)
def test_words_that_are_written_otherwise_are_refused_by_their_place(text: str, field: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_words(text)

    assert caught.value.field == field
