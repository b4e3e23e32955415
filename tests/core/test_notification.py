"""What a decision tells the outside: one kind of news for each thing that happened, and what may be read back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.document import parse
from gateway.core.errors import InvalidDocument
from gateway.core.notification import (
    MAX_REASON,
    Kind,
    Notification,
    alert,
    noticed,
    of_change,
    of_rollout,
    read_notification,
)
from gateway.core.phases import Phase
from gateway.core.seating import seat_route
from gateway.core.stored import Held, Quarantined
from tests.core.test_rollout_life import rollout

if TYPE_CHECKING:
    from gateway.core.rollout import Rollout

BAD = Quarantined("ab" * 32, 2, "errors: E 300")


def held(weights: dict[str, int], state: Rollout | None = None, quarantine: tuple[Quarantined, ...] = ()) -> Held:
    document = parse({"split": weights}, model="fraud")
    return Held(document, seat_route(document), state, quarantine)


def kinds(old: Rollout | None, new: Rollout | None) -> list[Kind]:
    before, after = held({"1": 100}, old), held({"1": 100}, new)
    return [each.kind for each in of_rollout(before, after, revision=8, who="gateway", reason="so it is")]


STEP = rollout(Phase.STEP, since=4)
HELD = replace(STEP, phase=Phase.HOLD, origin=Phase.STEP)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (None, rollout(Phase.PENDING), [Kind.STARTED]),
        (rollout(Phase.ABORTED), replace(rollout(Phase.PENDING), id="r2"), [Kind.STARTED]),
        (STEP, replace(rollout(Phase.PENDING), id="r2"), [Kind.ABORTED, Kind.STARTED]),
        (rollout(Phase.PENDING), rollout(Phase.PREFLIGHT), []),
        (rollout(Phase.PREFLIGHT), rollout(Phase.SHADOW), [Kind.ADVANCED]),
        (STEP, replace(STEP, step=1, since=5), [Kind.ADVANCED]),
        (STEP, rollout(Phase.BAKE), [Kind.ADVANCED]),
        (STEP, HELD, [Kind.HELD]),
        (HELD, STEP, [Kind.RESUMED]),
        (HELD, replace(STEP, step=1, since=9), [Kind.ADVANCED]),
        (HELD, replace(HELD, phase=Phase.PAUSED), [Kind.PAUSED]),
        (STEP, rollout(Phase.ROLLED_BACK), [Kind.ROLLED_BACK]),
        (rollout(Phase.BAKE), rollout(Phase.SUCCEEDED), [Kind.SUCCEEDED]),
        (STEP, rollout(Phase.ABORTED), [Kind.ABORTED]),
        (STEP, replace(STEP, away_seconds=9.0), []),
        (STEP, STEP, []),
        (STEP, None, []),
        (None, None, []),
    ],
)
def test_each_move_of_a_rollout_is_told_as_what_it_is(
    old: Rollout | None, new: Rollout | None, told: list[Kind]
) -> None:
    assert kinds(old, new) == told


def test_a_rollback_tells_weights_reason_actor_and_quarantine() -> None:
    before = held({"1": 95, "2": 5}, STEP)
    after = held({"1": 100, "2": 0}, replace(STEP, phase=Phase.ROLLED_BACK, reason="errors: E 300 of 100"), (BAD,))

    back, quarantined = of_rollout(before, after, revision=9, who="gateway", reason="errors: E 300 of 100")

    assert back.as_dict() == {
        "type": "rollout.rolled_back",
        "model": "fraud",
        "revision": 9,
        "actor": "gateway",
        "reason": "errors: E 300 of 100",
        "weights": {"before": {"1": 95, "2": 5}, "after": {"1": 100, "2": 0}},
        "rollout": {
            "id": "r1", "candidate": "2", "candidates": ["2"], "baseline": "1", "phase": "rolled_back", "step": None,
            "steps": 3, "gate": False,
        },
        "version": "2",
    }  # fmt: skip
    assert (quarantined.kind, quarantined.version, quarantined.reason) == (Kind.QUARANTINED, 2, "errors: E 300")


def test_a_version_that_is_in_quarantine_already_is_not_told_again() -> None:
    before, after = held({"1": 100}, None, (BAD,)), held({"1": 100}, None, (BAD,))

    assert of_rollout(before, after, revision=9, who="gateway", reason="") == []


def test_a_change_by_hand_tells_itself_and_what_it_did_to_a_rollout() -> None:
    before = held({"1": 95, "2": 5}, STEP)
    after = held(
        {"1": 50, "2": 50}, replace(STEP, phase=Phase.PAUSED, origin=Phase.STEP, reason="ann changed the weights")
    )

    told = of_change(before, after, revision=9, who="ann", reason="half")

    assert [(each.kind, each.reason) for each in told] == [
        (Kind.CHANGED, "half"),
        (Kind.PAUSED, "ann changed the weights"),
    ]


@pytest.mark.parametrize("before", [None, held({"1": 100})])
def test_a_change_without_a_rollout_tells_itself_only(before: Held | None) -> None:
    (told,) = of_change(before, held({"1": 90, "2": 10}), revision=2, who="ann", reason="")

    assert (told.kind, dict(told.before), dict(told.after)) == (
        Kind.CHANGED, {1: 100} if before else {}, {1: 90, 2: 10},
    )  # fmt: skip


GOOD = Notification(Kind.HELD, "fraud", 9, "ann", "why", {1: 100}, {1: 95, 2: 5}, {"id": "r1"}, 2)


@pytest.mark.parametrize("told", [GOOD, alert("fraud", 7, actor="gateway", reason="look", version=2)])
def test_what_is_kept_is_what_is_read(told: Notification) -> None:
    assert read_notification(told.encoded()) == told


def test_a_reason_without_end_is_cut() -> None:
    assert len(read_notification(replace(GOOD, reason="x" * 9_999).encoded()).reason) == MAX_REASON


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "rollout.exploded"}, {"type": ["rollout.held"]}, {"model": 7}, {"actor": None}, {"reason": {}},
        {"revision": "9"}, {"revision": True}, {"rollout": "r1"}, {"version": "two"}, {"weights": {"before": {}}},
        {"weights": {"before": {"1": -1}, "after": {}}}, {"weights": {"before": {}, "after": "1=100"}}, {"more": 1},
    ],
)  # fmt: skip
def test_what_is_no_notification_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocument):
        read_notification(json.dumps(GOOD.as_dict() | changes).encode())


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b"\xff", b'{"type": "rollout.held"}'])
def test_garbage_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidDocument):
        read_notification(payload)


def test_what_nobody_decided_names_the_version_and_changes_no_split() -> None:
    seen = noticed(Kind.DRIFTED, "fraud", 7, actor="gateway", reason="column age: 9 of 10 rows above", version=3)

    assert (seen.kind, seen.version, seen.reason) == (Kind.DRIFTED, 3, "column age: 9 of 10 rows above")
    assert seen.before == seen.after == {}
