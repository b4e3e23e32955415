"""The life of a rollout: every cell of its table, every empty one, and what the controller does with a verdict."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidDocument
from gateway.core.phases import ENDED, LIVE, TABLE, Event, Goto, MoveRefused, Phase
from gateway.core.plan import read_plan
from gateway.core.rollout import Kept, Rollout, move, split_at, split_of, start
from gateway.core.slots import seats
from gateway.core.steering import (
    Action,
    Hold,
    Pause,
    Promote,
    Resume,
    Rollback,
    SetWeight,
    Snapshot,
    Wait,
    next_action,
)
from gateway.core.stored_rollout import as_dict, read_rollout
from gateway.core.verdicts import Certificate, Kind, Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAN: Final[dict[str, Any]] = {
    "steps": [{"weight": 5, "for": "60s"}, {"weight": 25, "for": "5m", "approve": True}, {"weight": 50, "for": "5m"}],
    "holdback": {"weight": 95, "for": "30m"},
    "shadow": {"for": "10m"},
    "max_hold": "1h",
}
NOW = 10_000.0
BEFORE = {1: 100}
CERTIFICATE = Certificate(1.0, 20.0, 0.01, 0, 0)
LATE = 10.0**6


def rollout(
    phase: Phase, *, origin: Phase | None = None, changes: dict[str, Any] | None = None, **state: Any
) -> Rollout:
    """Return a rollout that stands in *phase*; one that is stopped came from *origin*, a step unless told."""
    plan = {name: value for name, value in (PLAN | (changes or {})).items() if value is not None}
    if phase in {Phase.HOLD, Phase.PAUSED}:
        origin = origin or Phase.STEP
    base = start("r1", candidates=(2,), baseline=1, plan=read_plan(plan), before=BEFORE, baseline_rate=0, now=0)
    return replace(base, phase=phase, origin=origin, **state)


def verdict(kind: Kind, *, failures: int = 0, pairs: int = 0) -> Verdict:
    return Verdict(kind, (Reason("errors", "said so"),), CERTIFICATE, failures=failures, pairs=pairs)


def act(state: Rollout, kind: Kind, *, now: float = NOW, ready: bool = True, **said: int) -> Action:
    return next_action(Snapshot(state, revision=7, is_ready=ready), verdict(kind, **said), now)


def share(split: Mapping[int, int] | None) -> float:
    assert split is not None
    return split[2] / sum(split.values())


# The table

CELLS = [
    (Phase.PENDING, Event.DONE, Phase.PREFLIGHT), (Phase.PENDING, Event.PAUSE, Phase.PAUSED),
    (Phase.PENDING, Event.ABORT, Phase.ABORTED), (Phase.PENDING, Event.SUPERSEDE, Phase.SUPERSEDED),
    (Phase.PREFLIGHT, Event.DONE, Phase.SHADOW), (Phase.PREFLIGHT, Event.FAIL, Phase.ROLLED_BACK),
    (Phase.PREFLIGHT, Event.HOLD, Phase.HOLD), (Phase.PREFLIGHT, Event.PAUSE, Phase.PAUSED),
    (Phase.PREFLIGHT, Event.ABORT, Phase.ABORTED), (Phase.PREFLIGHT, Event.SUPERSEDE, Phase.SUPERSEDED),
    (Phase.SHADOW, Event.DONE, Phase.STEP), (Phase.SHADOW, Event.FAIL, Phase.ROLLED_BACK),
    (Phase.SHADOW, Event.HOLD, Phase.HOLD), (Phase.SHADOW, Event.OVERDUE, Phase.HOLD),
    (Phase.SHADOW, Event.PAUSE, Phase.PAUSED), (Phase.SHADOW, Event.ABORT, Phase.ABORTED),
    (Phase.SHADOW, Event.SUPERSEDE, Phase.SUPERSEDED),
    (Phase.STEP, Event.DONE, Phase.STEP), (Phase.STEP, Event.FAIL, Phase.ROLLED_BACK),
    (Phase.STEP, Event.HOLD, Phase.HOLD), (Phase.STEP, Event.OVERDUE, Phase.HOLD),
    (Phase.STEP, Event.PAUSE, Phase.PAUSED), (Phase.STEP, Event.PROMOTE, Phase.BAKE),
    (Phase.STEP, Event.ABORT, Phase.ABORTED), (Phase.STEP, Event.SUPERSEDE, Phase.SUPERSEDED),
    (Phase.HOLD, Event.FAIL, Phase.ROLLED_BACK), (Phase.HOLD, Event.CLEAR, Phase.STEP),
    (Phase.HOLD, Event.OVERDUE, Phase.HOLD), (Phase.HOLD, Event.PAUSE, Phase.PAUSED),
    (Phase.HOLD, Event.PROMOTE, Phase.BAKE), (Phase.HOLD, Event.ABORT, Phase.ABORTED),
    (Phase.HOLD, Event.SUPERSEDE, Phase.SUPERSEDED),
    (Phase.PAUSED, Event.FAIL, Phase.ROLLED_BACK), (Phase.PAUSED, Event.HOLD, Phase.PAUSED),
    (Phase.PAUSED, Event.CLEAR, Phase.PAUSED), (Phase.PAUSED, Event.PAUSE, Phase.PAUSED),
    (Phase.PAUSED, Event.RESUME, Phase.STEP), (Phase.PAUSED, Event.PROMOTE, Phase.BAKE),
    (Phase.PAUSED, Event.ABORT, Phase.ABORTED), (Phase.PAUSED, Event.SUPERSEDE, Phase.SUPERSEDED),
    (Phase.BAKE, Event.DONE, Phase.SUCCEEDED), (Phase.BAKE, Event.FAIL, Phase.ROLLED_BACK),
    (Phase.BAKE, Event.HOLD, Phase.HOLD), (Phase.BAKE, Event.OVERDUE, Phase.HOLD),
    (Phase.BAKE, Event.PAUSE, Phase.PAUSED), (Phase.BAKE, Event.PROMOTE, Phase.SUCCEEDED),
    (Phase.BAKE, Event.ABORT, Phase.ABORTED), (Phase.BAKE, Event.SUPERSEDE, Phase.SUPERSEDED),
    (Phase.ROLLED_BACK, Event.RETRY, Phase.PENDING), (Phase.ABORTED, Event.RETRY, Phase.PENDING),
]  # fmt: skip
EMPTY = sorted(set(product(Phase, Event)) - {(phase, event) for phase, event, _ in CELLS})


@pytest.mark.parametrize(("phase", "event", "target"), CELLS)
def test_a_cell_leads_where_the_table_says(phase: Phase, event: Event, target: Phase) -> None:
    change = move(rollout(phase), event, now=NOW, revision=7, reason="why", force=True, new_id="r2")

    assert change.rollout.phase is target


@pytest.mark.parametrize(("phase", "event"), EMPTY)
def test_an_empty_cell_is_refused(phase: Phase, event: Event) -> None:
    with pytest.raises(MoveRefused, match=f"that is {phase} cannot take {event}.*from here it takes"):
        move(rollout(phase), event, now=NOW, revision=7, reason="why", force=True, new_id="r2")


def test_the_cells_are_those_of_the_table() -> None:
    assert {(phase, event) for phase, cells in TABLE.items() for event in cells} == {each[:2] for each in CELLS}
    assert set(LIVE).isdisjoint(ENDED)
    assert {Phase.PENDING, *LIVE, *ENDED} == set(Phase)


def test_the_diagram_in_the_documentation_is_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "decision-engine.md").read_text(encoding="utf-8")
    (diagram,) = re.findall(r"^```mermaid\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    drawn = {(source, event, target) for source, target, events in re.findall(r"(\w+) --> (\w+): (.+)", diagram)
             for event in events.split(", ")}  # fmt: skip

    held = [Phase.PREFLIGHT, Phase.SHADOW, Phase.STEP, Phase.BAKE]
    stop = [Phase.PENDING, *held]
    where: dict[Goto, dict[Phase, list[Phase]]] = {
        Goto.FIRST: {Phase.PREFLIGHT: [Phase.SHADOW, Phase.STEP]},
        Goto.NEXT: {Phase.STEP: [Phase.STEP, Phase.BAKE]},
        Goto.ORIGIN: {Phase.HOLD: held, Phase.PAUSED: stop},
        Goto.POLICY: {phase: [Phase.HOLD] for phase in held} | {
            Phase.HOLD: [Phase.HOLD, Phase.STEP, Phase.BAKE, Phase.ROLLED_BACK]
        },
        Goto.BAKE_OR_END: {phase: [Phase.BAKE, Phase.SUCCEEDED] for phase in (Phase.HOLD, Phase.PAUSED)},
    }  # fmt: skip
    meant = {
        (str(phase), str(event), str(target))
        for phase, cells in TABLE.items()
        for event, cell in cells.items()
        for target in (where[cell][phase] if isinstance(cell, Goto) else [cell])
    }
    shorthand = {(str(p), str(e), str(t)) for p, e, t in CELLS if e in {Event.ABORT, Event.SUPERSEDE}}

    assert drawn == meant - shorthand


# Moves


def test_without_a_shadow_the_first_step_comes_after_preflight() -> None:
    state = rollout(Phase.PREFLIGHT, changes={"shadow": None})

    change = move(state, Event.DONE, now=NOW, revision=7, reason="")

    assert (change.rollout.phase, change.rollout.step, change.rollout.since) == (Phase.STEP, 0, 8)
    assert change.split == {1: 95, 2: 5}


def test_steps_are_walked_one_by_one_and_end_in_the_bake() -> None:
    state, seen = rollout(Phase.SHADOW), []
    for _ in range(4):
        change = move(state, Event.DONE, now=NOW, revision=7, reason="")
        state = change.rollout
        seen.append((state.phase, state.step, share(change.split)))

    assert seen == [(Phase.STEP, 0, 0.05), (Phase.STEP, 1, 0.25), (Phase.STEP, 2, 0.5), (Phase.BAKE, 2, 0.95)]


def test_success_gives_the_candidate_everything_and_makes_it_the_baseline() -> None:
    change = move(rollout(Phase.BAKE), Event.DONE, now=NOW, revision=7, reason="")

    assert change.split == {1: 0, 2: 100}
    assert change.baseline == 2


@pytest.mark.parametrize("phase", LIVE)
def test_a_failure_in_every_live_phase_sets_the_canary_to_zero(phase: Phase) -> None:
    action = act(rollout(phase), Kind.FAIL)

    assert isinstance(action, Rollback)
    assert action.change.split == {1: 100, 2: 0}
    assert action.change.baseline == 1
    assert (action.guard, action.reason) == ("errors", "errors: said so")


def test_a_rollout_that_is_aborted_or_superseded_sets_the_split_back() -> None:
    state = replace(rollout(Phase.STEP), before={1: 90, 2: 4, 3: 6})

    for event in (Event.ABORT, Event.SUPERSEDE):
        assert move(state, event, now=NOW, revision=7, reason="").split == {1: 90, 2: 4, 3: 6}
    assert move(state, Event.FAIL, now=NOW, revision=7, reason="").split == {1: 90, 2: 0, 3: 6}


def test_a_retry_is_another_rollout_of_the_same_plan() -> None:
    failed = rollout(Phase.ROLLED_BACK, step=2, since=9, entered=50)

    fresh = move(failed, Event.RETRY, now=NOW, revision=7, reason="again", new_id="r2").rollout

    assert fresh == replace(rollout(Phase.PENDING), id="r2", started=NOW, reason="again")
    for id_ in ("", "r1"):
        with pytest.raises(MoveRefused, match="without a new id"):
            move(failed, Event.RETRY, now=NOW, revision=7, reason="", new_id=id_)


@pytest.mark.parametrize(
    ("state", "options", "target"),
    [
        (rollout(Phase.STEP), {"full": True}, Phase.SUCCEEDED),
        (rollout(Phase.PAUSED), {"full": True}, Phase.SUCCEEDED),
        (rollout(Phase.HOLD), {"full": True, "force": True}, Phase.SUCCEEDED),
        (rollout(Phase.HOLD, origin=Phase.BAKE), {"force": True}, Phase.SUCCEEDED),
        (rollout(Phase.PAUSED, origin=Phase.BAKE), {}, Phase.SUCCEEDED),
        (rollout(Phase.HOLD), {}, None),
        (rollout(Phase.HOLD), {"full": True}, None),
        (rollout(Phase.PAUSED, origin=Phase.SHADOW), {}, None),
        (rollout(Phase.PAUSED, origin=Phase.PENDING), {"full": True}, None),
    ],
)
def test_a_promotion_needs_a_step_behind_it_and_force_out_of_a_hold(
    state: Rollout, options: dict[str, Any], target: Phase | None
) -> None:
    if target is None:
        with pytest.raises(MoveRefused):
            move(state, Event.PROMOTE, now=NOW, revision=7, reason="", **options)
    else:
        assert move(state, Event.PROMOTE, now=NOW, revision=7, reason="", **options).rollout.phase is target


def test_a_stop_keeps_the_split_and_the_clock_of_the_step() -> None:
    state = rollout(Phase.STEP, step=1, since=5, entered=9_000.0)

    held = move(state, Event.HOLD, now=NOW, revision=7, reason="")
    paused = move(held.rollout, Event.PAUSE, now=NOW + 10, revision=8, reason="")
    again = move(paused.rollout, Event.RESUME, now=NOW + 20, revision=9, reason="")

    assert held.split is paused.split is None
    assert (held.rollout.origin, held.rollout.stopped, paused.rollout.stopped) == (Phase.STEP, NOW, NOW)
    assert again.rollout == replace(state, stopped=NOW)
    assert again.split == {1: 75, 2: 25}


def test_what_is_already_stopped_stays_as_it_is() -> None:
    for state, event in product([rollout(Phase.PAUSED)], [Event.HOLD, Event.CLEAR, Event.PAUSE]):
        assert move(state, event, now=NOW, revision=7, reason="").rollout is state


@given(st.dictionaries(st.integers(1, 6), st.integers(0, 10**9), min_size=1).filter(lambda d: any(
    weight for version, weight in d.items() if version != 2)), st.integers(1, 10_000))  # fmt: skip
def test_a_candidate_gets_its_slots_whatever_the_others_have(before: dict[int, int], slots: int) -> None:
    split = split_at(before, {2: slots})

    assert abs(seats(split)[2] - slots) <= len(before)


def test_weights_read_like_percents_where_they_can() -> None:
    assert split_at({1: 100}, {2: 500}) == {1: 95, 2: 5}
    assert split_at({1: 7}, {2: 1}) == {1: 9999, 2: 1}
    assert split_at({1: 1, 3: 1}, {2: 1000}) == {1: 45, 2: 10, 3: 45}
    assert split_at({1: 1, 2: 1}, {2: 10_000}) == {1: 0, 2: 100}


def test_a_rollout_cannot_be_built_wrong() -> None:
    good = rollout(Phase.STEP)
    wrong: list[dict[str, Any]] = [
        {"id": ""}, {"candidates": (1,)}, {"before": {1: 0, 2: 5}}, {"before": {}}, {"step": 3}, {"step": -1},
        {"phase": Phase.HOLD}, {"origin": Phase.STEP},
    ]  # fmt: skip

    for changes in wrong:
        with pytest.raises(InvalidDocument):
            replace(good, **changes)


# What the controller does


def test_a_pending_rollout_names_its_canary_at_zero_so_that_it_is_loaded() -> None:
    state = rollout(Phase.PENDING)
    assert (state.live, state.candidate, state.baseline) == ((2,), 2, 1)

    action = act(state, Kind.FAIL)

    assert isinstance(action, SetWeight)
    assert action.change.split == {1: 100, 2: 0}
    assert action.revision == 7


def test_preflight_waits_until_the_canary_is_ready() -> None:
    assert isinstance(act(rollout(Phase.PREFLIGHT), Kind.INCONCLUSIVE, ready=False), Wait)
    assert isinstance(act(rollout(Phase.PREFLIGHT), Kind.INCONCLUSIVE), SetWeight)


def test_a_wait_in_preflight_says_what_is_missing() -> None:
    action = next_action(Snapshot(rollout(Phase.PREFLIGHT), 7, lacks="replica b lacks it"), verdict(Kind.PASS), NOW)

    assert isinstance(action, Wait)
    assert action.reason.endswith(": replica b lacks it")


@pytest.mark.parametrize(("seconds", "alert"), [(59, False), (60, True)])
def test_a_preflight_that_lasts_is_for_somebody_to_look_at(seconds: int, alert: bool) -> None:
    action = act(rollout(Phase.PREFLIGHT, entered=NOW - seconds), Kind.INCONCLUSIVE, ready=False)

    assert isinstance(action, Wait)
    assert action.alert is alert


@pytest.mark.parametrize("state", [{"phase": Phase.PREFLIGHT}, {"phase": Phase.PAUSED, "origin": Phase.PREFLIGHT}])
def test_a_canary_that_fails_its_golden_requests_is_taken_back_before_its_first_step(state: dict[str, Any]) -> None:
    snapshot = Snapshot(rollout(**state), 7, failed={2: "request 3 differs"})

    action = next_action(snapshot, verdict(Kind.INCONCLUSIVE), NOW)

    assert isinstance(action, Rollback)
    assert (action.guard, action.reason, action.change.rollout.phase) == (
        "golden", "request 3 differs", Phase.ROLLED_BACK,
    )  # fmt: skip


def test_golden_requests_decide_nothing_once_there_is_traffic() -> None:
    action = next_action(Snapshot(rollout(Phase.STEP), 7, failed={2: "request 3 differs"}), verdict(Kind.PASS), NOW)

    assert not isinstance(action, Rollback)


def test_the_version_that_was_replaced_is_kept_for_a_time_after_a_success_and_never_else() -> None:
    baking = rollout(Phase.BAKE, changes={"keep_loaded": "2h"}, away_seconds=30.0)

    done = move(baking, Event.DONE, now=NOW, revision=7, reason="").rollout

    assert done.kept() == Kept(1, NOW + 7_200)
    assert read_rollout(as_dict(done)).kept() == done.kept()
    assert [rollout(phase).kept() for phase in Phase if phase is not Phase.SUCCEEDED] == [None] * (len(Phase) - 1)


def test_a_step_goes_on_when_its_time_is_over_and_the_verdict_is_a_pass() -> None:
    young, old = (rollout(Phase.STEP, entered=NOW - age) for age in (59, 60))

    assert isinstance(act(young, Kind.PASS), Wait)
    action = act(old, Kind.PASS)
    assert isinstance(action, SetWeight)
    assert action.change.split == {1: 75, 2: 25}


@pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.STEP, Phase.HOLD, Phase.BAKE])
def test_nothing_is_raised_nor_cleared_while_something_has_to_be_known_first(phase: Phase) -> None:
    def act(kind: Kind) -> object:
        snapshot = Snapshot(rollout(phase), revision=7, is_ready=True, waits_for="an alarm")
        return next_action(snapshot, verdict(kind), NOW + 10_000)

    assert act(Kind.PASS) == act(Kind.INCONCLUSIVE) == Wait("an alarm")
    assert isinstance(act(Kind.FAIL), Rollback)
    assert isinstance(act(Kind.HOLD), Hold) or phase is Phase.HOLD


def test_the_bake_ends_in_a_promotion() -> None:
    action = act(rollout(Phase.BAKE), Kind.PASS)

    assert isinstance(action, Promote)
    assert action.change.baseline == 2


def test_time_in_which_the_store_was_away_does_not_count() -> None:
    old = rollout(Phase.STEP, entered=NOW - 60)

    assert isinstance(act(old.after_absence(30), Kind.PASS, now=NOW + 29), Wait)
    assert isinstance(act(old.after_absence(30), Kind.PASS, now=NOW + 30), SetWeight)


def test_a_shadow_goes_on_when_enough_pairs_were_compared() -> None:
    assert isinstance(act(rollout(Phase.SHADOW), Kind.INCONCLUSIVE, pairs=100), SetWeight)
    assert isinstance(act(rollout(Phase.SHADOW), Kind.INCONCLUSIVE, pairs=99), Hold)


def test_a_gate_pauses_at_the_end_of_its_step_once() -> None:
    gated = rollout(Phase.STEP, step=1)

    action = act(gated, Kind.PASS)

    assert isinstance(action, Pause)
    waiting = action.change.rollout
    assert act(waiting, Kind.PASS) == Wait("it waits for approval", alert=True)
    opened = move(waiting, Event.RESUME, now=NOW, revision=8, reason="go").rollout
    onward = act(opened, Kind.PASS)
    assert isinstance(onward, SetWeight)
    assert onward.change.split == {1: 50, 2: 50}
    assert not onward.change.rollout.approved


def test_pausing_does_not_suspend_the_guards() -> None:
    assert isinstance(act(rollout(Phase.PAUSED), Kind.FAIL), Rollback)
    assert act(rollout(Phase.PAUSED), Kind.HOLD) == act(rollout(Phase.PAUSED), Kind.PASS) == Wait("it is paused")


def test_a_hold_clears_when_its_reason_does() -> None:
    action = act(rollout(Phase.STEP), Kind.HOLD)

    assert isinstance(action, Hold)
    held = action.change.rollout
    assert isinstance(act(held, Kind.HOLD), Wait)
    again = act(held, Kind.INCONCLUSIVE)
    assert isinstance(again, Resume)
    assert again.change.rollout.phase is Phase.STEP


def overdue(policy: str, *, phase: Phase = Phase.STEP, step: int = 0) -> Rollout:
    action = act(rollout(phase, step=step, changes={"on_insufficient_data": policy}), Kind.INCONCLUSIVE)
    assert isinstance(action, Hold)
    assert "not enough evidence" in action.reason
    return action.change.rollout


def test_without_evidence_a_rollout_stands_still_until_there_is_some() -> None:
    held = overdue("hold")

    assert isinstance(act(held, Kind.INCONCLUSIVE), Wait)
    assert act(held, Kind.INCONCLUSIVE, now=NOW + 3600) == Wait(
        "it has been held for longer than 3600 s: errors: said so", alert=True
    )
    assert isinstance(act(held, Kind.PASS), Resume)


def test_a_plan_may_take_a_canary_back_for_lack_of_evidence() -> None:
    held = overdue("rollback")

    assert isinstance(act(held, Kind.INCONCLUSIVE, now=NOW + 3599), Wait)
    action = act(held, Kind.INCONCLUSIVE, now=NOW + 3600)
    assert isinstance(action, Rollback)
    assert action.guard == "insufficient_data"


def test_a_plan_may_go_on_without_evidence_but_not_to_the_end_nor_with_a_failure_nor_past_a_gate() -> None:
    late = NOW + 3600

    for held, target, index in (
        (overdue("advance"), Phase.STEP, 1),
        (overdue("advance", step=2), Phase.BAKE, 2),
        (overdue("advance", phase=Phase.SHADOW), Phase.STEP, 0),
    ):
        action = act(held, Kind.INCONCLUSIVE, now=late)
        assert isinstance(action, SetWeight)
        assert (action.change.rollout.phase, action.change.rollout.step) == (target, index)
    assert isinstance(act(overdue("advance"), Kind.INCONCLUSIVE, now=late, failures=1), Wait)
    assert isinstance(act(overdue("advance"), Kind.HOLD, now=late), Wait)
    assert isinstance(act(overdue("advance", step=1), Kind.INCONCLUSIVE, now=late), Pause)
    assert isinstance(act(overdue("advance", phase=Phase.BAKE), Kind.INCONCLUSIVE, now=late), Wait)
    bake = overdue("advance", phase=Phase.BAKE)
    assert move(bake, Event.OVERDUE, now=late, revision=7, reason="").rollout is bake


def test_a_rollout_that_takes_longer_than_its_limit_is_taken_back() -> None:
    state = rollout(Phase.STEP, entered=NOW, changes={"limit": "3h"})

    assert isinstance(act(state, Kind.PASS, now=10_799), SetWeight)
    action = act(state, Kind.PASS, now=10_800)
    assert isinstance(action, Rollback)
    assert action.guard == "limit"


@pytest.mark.parametrize("phase", ENDED)
@pytest.mark.parametrize("kind", Kind)
def test_a_rollout_that_has_ended_does_nothing(phase: Phase, kind: Kind) -> None:
    assert act(rollout(phase), kind) == Wait(f"it is {phase}")


WATCHED = (Phase.PREFLIGHT, Phase.SHADOW, Phase.STEP, Phase.BAKE)
STATES = [
    rollout(phase, origin=origin, step=step, overdue=late, changes={"on_insufficient_data": policy})
    for phase, step, late, policy in product(Phase, (0, 1, 2), (True, False), ("hold", "rollback"))
    for origin in (WATCHED if phase in {Phase.HOLD, Phase.PAUSED} else (None,))
]  # fmt: skip


@pytest.mark.parametrize("now", [NOW, LATE])
@pytest.mark.parametrize("kind", Kind)
def test_the_same_snapshot_gives_the_same_action(kind: Kind, now: float) -> None:
    for state in STATES:
        assert act(state, kind, now=now) == act(state, kind, now=now)


@pytest.mark.parametrize("now", [NOW, LATE])
@pytest.mark.parametrize("kind", [Kind.HOLD, Kind.INCONCLUSIVE])
def test_neither_a_hold_nor_a_lack_of_evidence_raises_a_weight(kind: Kind, now: float) -> None:
    for state in STATES:
        goal = replace(state, phase=state.goal, origin=None)
        held = split_of(goal) or {1: 1, 2: 0}
        action = act(state, kind, now=now, ready=False)

        if not isinstance(action, Wait) and action.change.split is not None:
            assert share(action.change.split) <= share(held)


# As the store holds it


@pytest.mark.parametrize("state", STATES[::7], ids=lambda state: state.phase)
def test_a_rollout_is_read_from_the_store_as_it_was_written(state: Rollout) -> None:
    assert read_rollout(json.loads(json.dumps(as_dict(state)))) == state


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"phase": "flying"}, "phase"), ({"origin": "hold"}, "origin"), ({"origin": "step"}, "origin"),
        ({"candidate": "02"}, "candidate"), ({"candidate": "1"}, "candidate"), ({"plan": {}}, "plan.steps"),
        ({"before": {"1": -1}}, "before.1"), ({"certify": 2}, "certify"), ({"reason": 5}, "reason"),
        ({"started": "1"}, "started"), ({"entered": float("inf")}, "entered"), ({"stopped": True}, "stopped"),
        ({"gate": 1}, "gate"), ({"step": 1.0}, "step"), ({"since": -1}, "since"), ({"id": 5}, "id"), ({"x": 1}, "x"),
    ],
)  # fmt: skip
def test_a_stored_rollout_that_is_written_otherwise_is_refused_by_its_place(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_rollout(as_dict(rollout(Phase.STEP)) | change)

    assert caught.value.field == field


def test_a_stored_rollout_has_every_member() -> None:
    for name in as_dict(rollout(Phase.STEP)):
        whole = as_dict(rollout(Phase.STEP))
        del whole[name]
        with pytest.raises(InvalidDocument, match=f"{name}: is missing"):
            read_rollout(whole)
