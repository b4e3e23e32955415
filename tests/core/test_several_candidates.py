"""A rollout of several candidates: each for itself against the baseline, one out and the others on, one promoted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway.core.alarms import Alarm, Condition, Standing, State, gated
from gateway.core.candidates import MAX_CANDIDATES, Left
from gateway.core.document import parse
from gateway.core.errors import InvalidDocument
from gateway.core.evidence import Counter, Evidence
from gateway.core.judgement import judge, judge_one
from gateway.core.notification import of_rollout
from gateway.core.phases import Event, MoveRefused, Phase
from gateway.core.plan import read_plan
from gateway.core.rollout import Change, Rollout, move, split_of, start
from gateway.core.seating import seat_route
from gateway.core.splits import MAX_WEIGHT
from gateway.core.steering import Action, Pause, Promote, Rollback, SetWeight, Snapshot, Wait, next_action
from gateway.core.stored import Held
from gateway.core.stored_rollout import as_dict, read_rollout
from gateway.core.verdicts import Certificate, Kind, Reason, Verdict, together

if TYPE_CHECKING:
    from collections.abc import Mapping

STEPS: Final = [{"weight": {"2": 5, "3": 10}, "for": "60s"}, {"weight": 30, "for": "60s"}]
LATE: Final = 10.0**6
ALL_GUARDS: Final[dict[str, Any]] = {"errors": {}, "invalid": {}, "latency": {}, "labels": {}}


def rollout(phase: Phase = Phase.STEP, *, plan: Mapping[str, Any] | None = None, **state: Any) -> Rollout:
    """Return a rollout of versions 2 and 3 against 1 in *phase*; *plan* changes that of two steps."""
    made = start(
        "r1", candidates=(3, 2), baseline=1, plan=read_plan({"steps": STEPS, **(plan or {})}), before={1: 80, 4: 20},
        baseline_rate=0, now=0,
    )  # fmt: skip
    if phase in {Phase.HOLD, Phase.PAUSED}:
        state = {"origin": Phase.STEP, **state}
    return replace(made, phase=phase, **state)


def at_the_choice() -> Rollout:
    return rollout(Phase.PAUSED, step=1, gate=True)


def do(state: Rollout, event: Event, **given: Any) -> Change:
    return move(state, event, now=LATE, revision=7, reason="said so", **given)


def said(kind: Kind, version: int, *, e_value: float = 1.0, pairs: int = 0, wait: int | None = 5) -> Verdict:
    certificate = Certificate(e_value, 20.0, 0.01, 0, 0)
    reasons = (Reason("errors", f"of {version}"),)
    return Verdict(kind, reasons, certificate, failures=1, pairs=pairs, requests_to_decision=wait, version=version)


def act(state: Rollout, *verdicts: Verdict) -> Action:
    return next_action(Snapshot(state, revision=7, is_ready=True), together(verdicts), LATE)


# Before any traffic, and what others say


def test_one_that_fails_its_golden_requests_is_taken_back_alone() -> None:
    snapshot = Snapshot(rollout(Phase.PREFLIGHT), 7, failed={3: "request 1 differs"})

    action = next_action(snapshot, together([said(Kind.INCONCLUSIVE, each) for each in (2, 3)]), LATE)

    assert isinstance(action, Rollback)
    after = action.change.rollout
    assert (action.guard, after.phase, after.live, action.change.failed) == ("golden", Phase.PREFLIGHT, (2,), (3,))


def test_an_alarm_takes_all_candidates_back_since_it_is_about_none_of_them() -> None:
    alarm = Alarm("shop", "errors", Condition(">", 0.05), for_seconds=1, grace_seconds=30, then="rollback")
    firing = [Standing(alarm, State.FIRING, "alarm shop fires", 0.2, 0.0)]

    verdict = gated(together([said(Kind.PASS, each) for each in (2, 3)]), firing, has_traffic=True)
    action = next_action(Snapshot(rollout(), 7), verdict, LATE)

    assert isinstance(action, Rollback)
    assert (action.guard, action.change.rollout.phase, action.change.failed) == ("alarms", Phase.ROLLED_BACK, (2, 3))
    assert [(each.kind, each.version) for each in verdict.each] == [(Kind.FAIL, 2), (Kind.FAIL, 3)]


def test_a_candidate_that_the_counts_condemn_goes_first_and_alone() -> None:
    alarm = Alarm("shop", "errors", Condition(">", 0.05), for_seconds=1, grace_seconds=30, then="rollback")
    firing = [Standing(alarm, State.FIRING, "alarm shop fires", 0.2, 0.0)]

    verdict = gated(together([said(Kind.PASS, 2), said(Kind.FAIL, 3)]), firing, has_traffic=True)
    action = next_action(Snapshot(rollout(), 7), verdict, LATE)

    assert isinstance(action, Rollback)
    assert (action.guard, action.change.rollout.live, action.change.failed) == ("errors", (2,), (3,))


# What is told


def kept(state: Rollout) -> Held:
    document = parse({"split": {"1": 80, "4": 20}}, model="fraud")
    return Held(document, seat_route(document), state)


def told_of(old: Rollout, new: Rollout) -> list[tuple[str, int | None, str]]:
    found = of_rollout(kept(old), kept(new), revision=8, who="gateway", reason="so it is")
    return [(each.kind.value, each.version, each.reason) for each in found]


def test_each_candidate_that_is_taken_back_is_told_once_and_by_its_own_reason() -> None:
    one = rollout(left={3: Left(True, "errors: of 3")})
    none = replace(one, phase=Phase.ROLLED_BACK, reason="latency: of 2")

    assert told_of(rollout(), one) == [("rollout.rolled_back", 3, "errors: of 3")]
    assert told_of(one, none) == [("rollout.rolled_back", 2, "latency: of 2")]
    assert told_of(rollout(), rollout(Phase.ROLLED_BACK, reason="limit: late")) == [
        ("rollout.rolled_back", 2, "limit: late"), ("rollout.rolled_back", 3, "limit: late"),
    ]  # fmt: skip


def test_news_of_all_candidates_is_about_no_one_of_them_and_names_those_that_are_in_it() -> None:
    (held,) = of_rollout(kept(rollout()), kept(rollout(Phase.HOLD)), revision=8, who="gateway", reason="so it is")

    assert (held.kind.value, held.version) == ("rollout.held", None)
    assert held.rollout is not None
    assert (held.rollout["candidate"], held.rollout["candidates"]) == (None, ["2", "3"])


def test_a_choice_is_no_rollback_of_those_that_were_not_chosen() -> None:
    chosen = do(at_the_choice(), Event.PROMOTE, version=3).rollout

    assert told_of(at_the_choice(), chosen) == [("rollout.advanced", 3, "so it is")]


# Who takes part


@pytest.mark.parametrize(
    ("candidates", "why"),
    [
        ((), "name 1 to 8"), (tuple(range(2, MAX_CANDIDATES + 3)), "name 1 to 8"), ((2, 2), "twice"),
        ((2, 1), "compared with itself"),
    ],
)  # fmt: skip
def test_candidates_that_cannot_be_compared_are_refused(candidates: tuple[int, ...], why: str) -> None:
    plan = read_plan({"steps": [{"weight": 5, "for": "60s"}]})
    with pytest.raises(InvalidDocument, match=why):
        start("r1", candidates=candidates, baseline=1, plan=plan, before={1: 1}, baseline_rate=0, now=0)


def test_candidates_ascend_and_share_alpha_for_the_whole_rollout() -> None:
    state = rollout()

    assert (state.candidates, state.live, state.candidate) == ((2, 3), (2, 3), None)
    assert state.alpha == pytest.approx(0.005)
    assert do(state, Event.FAIL, version=3).rollout.alpha == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("steps", "field", "why"),
    [
        ([{"weight": {"2": 5}, "for": "1m"}], "steps[0].weight", "names 2, and the candidates are 2, 3"),
        ([{"weight": {"2": 5, "4": 5}, "for": "1m"}], "steps[0].weight", "names 2, 4"),
        ([{"weight": 5, "for": "1m"}, {"weight": 51, "for": "1m"}], "steps[1].weight", "102% for 2 candidates"),
    ],
)
def test_a_plan_is_refused_for_candidates_that_it_does_not_fit(steps: list[Any], field: str, why: str) -> None:
    with pytest.raises(InvalidDocument, match=why) as caught:
        rollout(plan={"steps": steps})

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("weights", "field"),
    [
        ([{"2": 5, "3": 5}, {"2": 4, "3": 9}], "steps[1].weight"), ([{"2": 5, "3": 5}, 5], "steps[1].weight"),
        ([5, {"2": 5, "3": 5}], "steps[1].weight"), ([{"2": 5, 2: 5}], "steps[0].weight.2"),
        ([{"02": 5}], "steps[0].weight.02"), ([{"2": 0}], "steps[0].weight.2"), ([{}], "steps[0].weight"),
    ],
)  # fmt: skip
def test_weights_by_version_ascend_and_are_written_once(weights: list[Any], field: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_plan({"steps": [{"weight": weight, "for": "1m"} for weight in weights]})

    assert caught.value.field == field


def test_a_bake_is_of_one_candidate_and_never_below_the_largest_share_of_a_step() -> None:
    with pytest.raises(InvalidDocument, match="one is left by then"):
        read_plan({"steps": STEPS, "holdback": {"weight": {"2": 90, "3": 90}, "for": "1m"}})
    with pytest.raises(InvalidDocument, match="below the last step"):
        read_plan({"steps": [{"weight": {"2": 5, "3": 60}, "for": "1m"}], "holdback": {"weight": 50, "for": "1m"}})


def test_a_plan_with_weights_by_version_is_written_as_it_is_read() -> None:
    plan = read_plan({"steps": STEPS})

    assert plan.as_dict()["steps"][0]["weight"] == {"2": 5, "3": 10}
    assert read_plan(json.loads(json.dumps(plan.as_dict()))) == plan


# Splits


def test_a_step_gives_each_candidate_its_own_share_and_the_others_the_rest_as_before() -> None:
    assert split_of(rollout()) == {1: 68, 2: 5, 3: 10, 4: 17}
    assert split_of(rollout(step=1)) == {1: 32, 2: 30, 3: 30, 4: 8}


def test_one_that_fails_returns_its_slots_to_the_baseline_and_the_others_keep_theirs() -> None:
    change = do(rollout(), Event.FAIL, version=3)

    assert change.of({1: 68, 2: 5, 3: 10, 4: 17}) == {1: 78, 2: 5, 3: 0, 4: 17}
    assert (change.rollout.phase, change.rollout.live, change.failed) == (Phase.STEP, (2,), (3,))
    assert change.rollout.left == {3: Left(True, "said so")}
    assert split_of(do(change.rollout, Event.DONE).rollout) == {1: 56, 2: 30, 3: 0, 4: 14}


def test_weights_of_any_size_can_be_given_back() -> None:
    split = do(rollout(), Event.FAIL, version=3).of({1: MAX_WEIGHT, 2: 0, 3: MAX_WEIGHT})

    assert split == {1: 10_000, 2: 0, 3: 0}


def test_the_last_one_that_fails_ends_the_rollout_at_the_split_from_before() -> None:
    one = do(rollout(), Event.FAIL, version=3).rollout

    last = do(one, Event.FAIL, version=2)

    assert (last.rollout.phase, last.failed, last.rollout.live) == (Phase.ROLLED_BACK, (2,), (2,))
    assert last.of({}) == {1: 80, 2: 0, 3: 0, 4: 20}


def test_what_is_said_of_the_whole_rollout_takes_all_candidates_back() -> None:
    change = do(rollout(), Event.FAIL)

    assert (change.rollout.phase, change.failed) == (Phase.ROLLED_BACK, (2, 3))


def test_an_abort_returns_what_each_had_but_to_one_that_failed() -> None:
    state = replace(rollout(), before={1: 70, 2: 10, 3: 20})

    after_failure = do(do(state, Event.FAIL, version=3).rollout, Event.ABORT)

    assert do(state, Event.ABORT).split == {1: 70, 2: 10, 3: 20}
    assert after_failure.split == {1: 70, 2: 10, 3: 0}


@pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.SHADOW, Phase.STEP, Phase.HOLD, Phase.PAUSED])
def test_one_goes_out_of_every_phase_under_watch_and_the_rollout_stays_there(phase: Phase) -> None:
    state = rollout(phase, plan={"shadow": {"for": "1m"}})

    assert do(state, Event.FAIL, version=2).rollout == replace(state, left={2: Left(True, "said so")}, reason="said so")


# Choosing


def test_behind_the_last_step_somebody_is_asked_which_one_to_promote() -> None:
    state = rollout(step=1)

    action = act(state, said(Kind.PASS, 2), said(Kind.PASS, 3))

    assert isinstance(action, Pause)
    assert "choose one of versions 2, 3" in action.reason
    assert (action.change.rollout.gate, action.change.rollout.must_choose) == (True, True)
    assert isinstance(act(action.change.rollout, said(Kind.PASS, 2), said(Kind.PASS, 3)), Wait)


def test_no_choice_is_asked_for_before_the_last_step_or_of_one_that_is_left() -> None:
    alone = replace(rollout(step=1), left={3: Left(True, "why")})

    assert isinstance(act(rollout(), said(Kind.PASS, 2), said(Kind.PASS, 3)), SetWeight)
    onward = act(alone, said(Kind.PASS, 2))

    assert isinstance(onward, SetWeight)
    assert onward.change.rollout.phase is Phase.BAKE


def test_a_promotion_names_the_one_that_goes_on_alone_and_the_others_have_nothing() -> None:
    change = do(at_the_choice(), Event.PROMOTE, version=3)

    assert (change.rollout.phase, change.rollout.candidate) == (Phase.BAKE, 3)
    assert change.rollout.left == {2: Left(False, "version 3 was promoted")}
    assert change.split == {1: 4, 2: 0, 3: 95, 4: 1}
    done = next_action(Snapshot(change.rollout, 8, is_ready=True), said(Kind.PASS, 3), 2 * LATE)
    assert isinstance(done, Promote)
    assert (done.change.baseline, done.change.split) == (3, {1: 0, 2: 0, 3: 100, 4: 0})


def test_a_promotion_to_the_end_at_once_needs_a_name_too() -> None:
    assert do(rollout(), Event.PROMOTE, version=2, full=True).baseline == 2


@pytest.mark.parametrize(
    ("state", "event", "version"),
    [
        (at_the_choice(), Event.RESUME, None), (at_the_choice(), Event.PROMOTE, None),
        (at_the_choice(), Event.PROMOTE, 4), (rollout(step=1), Event.DONE, None), (rollout(), Event.PROMOTE, None),
    ],
)  # fmt: skip
def test_nothing_goes_on_behind_the_last_step_without_a_choice(
    state: Rollout, event: Event, version: int | None
) -> None:
    with pytest.raises(MoveRefused, match=r"version 2 or 3: promote one|version 4, which is not in it"):
        do(state, event, version=version)


def test_a_pause_before_the_choice_is_resumed_and_one_that_is_left_at_the_choice_too() -> None:
    alone = do(at_the_choice(), Event.FAIL, version=2).rollout

    assert do(rollout(Phase.PAUSED, step=1), Event.RESUME).rollout.phase is Phase.STEP
    assert do(alone, Event.RESUME).rollout.phase is Phase.STEP


def test_a_plan_that_advances_without_evidence_stops_at_the_choice_all_the_same() -> None:
    held = rollout(Phase.HOLD, step=1, overdue=True, plan={"on_insufficient_data": "advance", "max_hold": "1m"})
    verdicts = [replace(said(Kind.INCONCLUSIVE, version), failures=0) for version in (2, 3)]

    assert isinstance(act(held, *verdicts), Pause)


def test_a_retry_starts_all_candidates_anew() -> None:
    ended = do(do(rollout(), Event.FAIL, version=3).rollout, Event.ABORT).rollout

    assert do(ended, Event.RETRY, new_id="r2").rollout.live == (2, 3)


# Judging


def test_the_candidate_that_fails_goes_and_the_other_is_asked_again_next_time() -> None:
    action = act(rollout(), said(Kind.PASS, 2), said(Kind.FAIL, 3))

    assert isinstance(action, Rollback)
    assert (action.change.failed, action.guard) == ((3,), "errors")


@pytest.mark.parametrize(
    ("kinds", "kind", "reasons"),
    [
        ((Kind.PASS, Kind.PASS), Kind.PASS, ["of 2", "of 3"]),
        ((Kind.PASS, Kind.INCONCLUSIVE), Kind.INCONCLUSIVE, ["of 3"]),
        ((Kind.HOLD, Kind.INCONCLUSIVE), Kind.HOLD, ["of 2"]),
        ((Kind.HOLD, Kind.FAIL), Kind.FAIL, ["of 3"]),
        ((Kind.FAIL, Kind.FAIL), Kind.FAIL, ["of 2"]),
    ],
)
def test_the_candidate_that_asks_for_the_most_decides(kinds: tuple[Kind, Kind], kind: Kind, reasons: list[str]) -> None:
    verdict = together([said(each, version) for version, each in enumerate(kinds, start=2)])

    assert verdict.kind is kind
    assert [reason.text for reason in verdict.reasons] == reasons
    assert [each.kind for each in verdict.each] == list(kinds)


def test_the_numbers_together_are_those_of_whoever_is_farthest_from_a_decision() -> None:
    verdict = together([said(Kind.PASS, 2, e_value=30, pairs=9, wait=3), said(Kind.PASS, 3, e_value=20, pairs=4)])
    unknown = together([said(Kind.PASS, 2), said(Kind.PASS, 3, wait=None)])

    assert (verdict.certificate.e_value, verdict.pairs, verdict.failures) == (20, 4, 2)
    assert (verdict.requests_to_decision, unknown.requests_to_decision) == (5, None)


def crash(slots: Mapping[int, int], failures: int) -> Verdict:
    """Return the verdict on candidate 2 of three, after it failed *failures* times and the baseline never."""
    plan = read_plan({"steps": [{"weight": 1, "for": "60s"}], "guards": ALL_GUARDS})
    state = start("r", candidates=(2, 3, 4), baseline=1, plan=plan, before={1: 1}, baseline_rate=0, now=0)
    counts = dict.fromkeys((Counter(1, 2, "n"), Counter(1, 2, "failed"), Counter(1, 2, "error")), failures)
    return judge_one(Evidence(counts, {1: slots}), state, 2)


@pytest.mark.parametrize(
    ("slots", "failures"),
    [({1: 9900, 2: 100}, 3), ({1: 9500, 2: 500}, 3), ({1: 9000, 2: 474, 3: 263, 4: 263}, 3), ({1: 5000, 2: 5000}, 11),
     ({1: 2500, 2: 2500, 3: 2500, 4: 2500}, 11)],
)  # fmt: skip
def test_one_of_three_that_fails_always_is_found_after_so_many_failures(slots: dict[int, int], failures: int) -> None:
    assert crash(slots, failures - 1).kind is not Kind.FAIL
    assert crash(slots, failures).kind is Kind.FAIL


def test_what_happens_to_the_other_candidates_changes_nothing_for_one() -> None:
    slots = {1: 6000, 2: 2000, 3: 2000}
    own = {Counter(1, 2, "n"): 50, Counter(1, 2, "error"): 2, Counter(1, 1, "n"): 150, Counter(1, 1, "error"): 1}
    others = {Counter(1, 3, kind): 40 for kind in ("n", "failed", "error", "deaths")}

    quiet, loud = (judge_one(Evidence(counts, {1: slots}), rollout(), 2) for counts in (own, own | others))

    assert quiet == loud


def test_reasons_name_their_version_only_where_there_are_several() -> None:
    evidence = Evidence({}, {1: {1: 9000, 2: 500, 3: 500}})
    alone = start("r", candidates=(2,), baseline=1, plan=rollout(plan={"steps": [{"weight": 5, "for": "1m"}]}).plan,
                  before={1: 1}, baseline_rate=0, now=0)  # fmt: skip

    verdict = judge(evidence, rollout())

    assert [reason.text.split(":")[0] for reason in verdict.reasons] == ["version 2"] * 2 + ["version 3"] * 2
    assert judge(evidence, alone).each == ()
    assert "version" not in judge(evidence, alone).text


# As the store holds it


def test_a_rollout_of_several_is_read_from_the_store_as_it_was_written() -> None:
    for state in (rollout(), do(rollout(), Event.FAIL, version=3).rollout, at_the_choice()):
        assert read_rollout(json.loads(json.dumps(as_dict(state)))) == state


def test_a_rollout_of_one_is_written_as_it_was_before_there_could_be_several() -> None:
    alone = start("r", candidates=(2,), baseline=1, plan=read_plan({"steps": [{"weight": 5, "for": "1m"}]}),
                  before={1: 1}, baseline_rate=0, now=0)  # fmt: skip

    assert as_dict(alone)["candidate"] == "2"
    assert not {"candidates", "left"} & as_dict(alone).keys()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"candidates": "2"}, "candidates"), ({"candidates": ["2", "2"]}, "candidates"), ({"left": []}, "left"),
        ({"left": {"3": {"failed": 1, "reason": ""}}}, "left.3"), ({"left": {"3": {"failed": True}}}, "left.3.reason"),
        ({"left": {"9": {"failed": True, "reason": ""}}}, "left"), ({"phase": "bake"}, "left"),
        ({"left": {each: {"failed": True, "reason": ""} for each in ("2", "3")}}, "left"),
        ({"candidate": "2"}, "candidate"),
    ],
)  # fmt: skip
def test_candidates_that_are_stored_otherwise_are_refused_by_their_place(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_rollout(as_dict(rollout()) | change)

    assert caught.value.field == field
