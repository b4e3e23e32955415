"""Alarms: what an answer, and the lack of one, means for a rollout. Times are seconds that the test names."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.alarms import Alarm, Answer, Condition, Silence, State, Watched, gated, read_alarms, unsettled
from gateway.core.errors import InvalidDocument
from gateway.core.plan import read_plan
from gateway.core.verdicts import Certificate, Kind, Reason, Verdict

QUERY = 'rate(errors_total{app="shop"}[1m])'
ALARM = Alarm("shop", QUERY, Condition(">", 0.05), for_seconds=10, grace_seconds=30)
BARE = Alarm("bare", "up == 0", for_seconds=10, grace_seconds=30)
FATAL = Alarm("shop", QUERY, Condition(">", 0.05), for_seconds=10, grace_seconds=30, then="rollback")
BAD, GOOD, NOTHING = Answer((0.2,)), Answer((0.01,)), Silence("it is away")
STEPS: list[Any] = [{"weight": 5, "for": "1m"}]


def heard(alarm: Alarm, *replies: tuple[float, Answer | Silence]) -> Watched:
    """Return what is known after *replies*, each at its second, to questions that began at second 0."""
    watched = Watched(alarm, 0.0)
    for now, reply in replies:
        watched = watched.after(reply, now)
    return watched


def state(alarm: Alarm, *replies: tuple[float, Answer | Silence], now: float | None = None) -> State:
    return heard(alarm, *replies).standing(replies[-1][0] if now is None else now).state


def verdict(kind: Kind) -> Verdict:
    return Verdict(kind, (Reason("errors", "as counted"),), Certificate(1.0, 20.0, 0.01, 0, 9))


# What an answer means


@pytest.mark.parametrize(
    ("compare", "fires"),
    [(">", [2.0]), (">=", [1.0, 2.0]), ("<", [0.0]), ("<=", [0.0, 1.0]), ("==", [1.0]), ("!=", [0.0, 2.0])],
)
def test_a_condition_compares_as_it_is_written(compare: str, fires: list[float]) -> None:
    alarm = Alarm("a", "q", Condition(compare, 1.0))

    assert [v for v in (0.0, 1.0, 2.0) if state(alarm, (1, Answer((v,)))) is State.PENDING] == fires


def test_one_series_that_fires_is_enough() -> None:
    known = heard(ALARM, (1, Answer((0.01, nan, 0.3)))).standing(1)

    assert (known.state, known.value) == (State.PENDING, 0.3)


def test_a_scalar_is_compared_like_a_vector_of_one() -> None:
    assert state(ALARM, (1, Answer((0.2,), is_vector=False))) is State.PENDING


def test_without_a_condition_any_vector_that_is_not_empty_fires() -> None:
    assert state(BARE, (1, Answer(()))) is State.QUIET
    assert state(BARE, (1, Answer((0.0,)))) is State.PENDING


@pytest.mark.parametrize(
    ("alarm", "reply", "said"),
    [
        (ALARM, Answer(()), "no data"),
        (ALARM, Answer((nan, nan)), "no data"),
        (BARE, Answer((1.0,), is_vector=False), "write fires"),
        (ALARM, NOTHING, "it is away"),
    ],
)
def test_an_answer_that_says_nothing_is_no_answer(alarm: Alarm, reply: Answer | Silence, said: str) -> None:
    known = heard(alarm, (1, reply)).standing(1)

    assert (known.state, known.age_seconds) == (State.UNANSWERED, None)
    assert said in known.text


# Time


def test_an_alarm_has_to_fire_for_its_time_without_a_break() -> None:
    assert state(ALARM, (1, BAD), (10, BAD)) is State.PENDING
    assert state(ALARM, (1, BAD), (11, BAD)) is State.FIRING
    assert state(ALARM, (1, BAD), (6, GOOD), (11, BAD)) is State.PENDING


def test_time_in_which_nothing_answers_does_not_make_an_alarm_fire() -> None:
    assert state(ALARM, (1, BAD), now=20) is State.PENDING
    assert state(ALARM, (1, BAD), (2, NOTHING), now=31) is State.UNANSWERED
    assert state(ALARM, (1, BAD), (2, NOTHING), now=32) is State.SILENT
    assert state(ALARM, (1, BAD), (40, NOTHING), (50, BAD)) is State.PENDING
    assert state(ALARM, (1, BAD), (5, NOTHING), (12, BAD)) is State.FIRING


def test_the_grace_begins_with_the_first_question_and_anew_with_each_answer() -> None:
    assert state(ALARM, (1, NOTHING), now=30) is State.UNANSWERED
    assert state(ALARM, (1, NOTHING), now=31) is State.SILENT
    assert state(ALARM, (31, GOOD), (40, NOTHING), now=61) is State.UNANSWERED
    assert Watched(ALARM, 0.0).standing(31).state is State.SILENT


def test_a_question_that_hangs_is_no_answer_either() -> None:
    good = heard(ALARM, (10, GOOD))

    assert good.standing(10 + 30 + ALARM.seconds_between).state is State.QUIET
    assert good.standing(43).text == "alarm shop has had no answer for 33 s: a question is under way"
    assert good.standing(43).state is State.SILENT


def test_an_alarm_that_is_answered_again_is_quiet_again() -> None:
    known = heard(ALARM, (1, BAD), (11, BAD), (60, NOTHING), (61, GOOD)).standing(64)

    assert (known.state, known.age_seconds, known.text) == (State.QUIET, 3.0, "alarm shop is quiet")


def test_an_alarm_says_what_it_saw_in_words() -> None:
    firing, pending, silent, bare = (
        heard(ALARM, (1, BAD), (12, BAD)), heard(ALARM, (1, BAD)), heard(ALARM, (1, GOOD), (50, NOTHING)),
        heard(BARE, (1, BAD), (12, BAD)),
    )  # fmt: skip

    assert firing.standing(12).text == "alarm shop fires: 0.2 is > 0.05, for 11 s"
    assert pending.standing(1).text == "alarm shop begins to fire, and needs 10 s of it: 0.2 is > 0.05, for 0 s"
    assert silent.standing(50).text == "alarm shop has had no answer for 49 s: it is away"
    assert bare.standing(12).text == "alarm bare fires: its query answers, for 11 s"


@pytest.mark.parametrize(("seconds", "between"), [(1, 1.0), (20, 5.0), (3600, 15.0)])
def test_an_alarm_is_asked_four_times_in_its_time_within_bounds(seconds: int, between: float) -> None:
    assert Alarm("a", "q", for_seconds=seconds).seconds_between == between


# What it does to a rollout


FIRING = heard(ALARM, (1, BAD), (12, BAD)).standing(12)
KILLING = heard(FATAL, (1, BAD), (12, BAD)).standing(12)
SILENT = heard(FATAL, (1, BAD), (12, BAD), (60, NOTHING)).standing(60)
QUIET = heard(ALARM, (1, GOOD)).standing(1)
PENDING = heard(ALARM, (1, BAD)).standing(1)
UNANSWERED = heard(ALARM, (1, NOTHING)).standing(1)


@pytest.mark.parametrize("kind", [Kind.HOLD, Kind.PASS, Kind.INCONCLUSIVE])
def test_an_alarm_that_fires_or_is_silent_holds_whatever_the_counts_say(kind: Kind) -> None:
    for standing in (FIRING, SILENT):
        held = gated(verdict(kind), [QUIET, standing], has_traffic=True)

        assert (held.kind, held.reasons[0]) == (Kind.HOLD, Reason("alarms", standing.text))
        assert (Reason("errors", "as counted") in held.reasons) is (kind is Kind.HOLD)


@pytest.mark.parametrize("kind", [Kind.HOLD, Kind.PASS, Kind.INCONCLUSIVE])
def test_an_alarm_rolls_back_where_the_plan_says_so_and_only_what_has_traffic(kind: Kind) -> None:
    failed = gated(verdict(kind), [FIRING, KILLING], has_traffic=True)

    assert (failed.kind, failed.reasons) == (Kind.FAIL, (Reason("alarms", KILLING.text),))
    assert gated(verdict(kind), [KILLING], has_traffic=False).kind is Kind.HOLD


def test_what_the_counts_condemn_stays_condemned() -> None:
    failed = verdict(Kind.FAIL)

    assert gated(failed, [FIRING, KILLING], has_traffic=True) is failed


def test_a_quiet_alarm_changes_nothing() -> None:
    passed = verdict(Kind.PASS)

    assert gated(passed, [QUIET, PENDING, UNANSWERED], has_traffic=True) is passed
    assert unsettled([QUIET, FIRING]) == ""
    assert unsettled([PENDING, UNANSWERED, SILENT]) == f"{PENDING.text}; {UNANSWERED.text}; {SILENT.text}"


REPLIES = st.lists(st.tuples(st.floats(0, 20), st.sampled_from([BAD, GOOD, NOTHING, Answer(())])), max_size=12)


@given(REPLIES, st.floats(0, 100))
def test_nothing_rolls_back_while_the_newest_question_is_unanswered(
    gaps: list[tuple[float, Answer | Silence]], later: float
) -> None:
    now, watched = 0.0, Watched(FATAL, 0.0)
    for gap, reply in [*gaps, (1.0, NOTHING)]:
        now += gap
        watched = watched.after(reply, now)

    assert gated(verdict(Kind.PASS), [watched.standing(now + later)], has_traffic=True).kind is not Kind.FAIL


# As a plan writes it


FULL = [
    {"name": "shop", "query": QUERY, "fires": "> 0.05", "for": "2m", "grace": "90s", "then": "rollback"},
    {"name": "up", "query": "up == 0", "for": "1m", "grace": "1m", "then": "hold"},
]


def test_alarms_are_read_as_they_are_written() -> None:
    plan = read_plan({"steps": STEPS, "alarms": FULL})

    assert plan.as_dict()["alarms"] == FULL
    assert plan.alarms[0] == Alarm("shop", QUERY, Condition(">", 0.05), 120, 90, "rollback")


def test_an_alarm_needs_a_name_and_a_query() -> None:
    (alarm,) = read_alarms([{"name": "up", "query": "up\n== 0"}])

    assert (alarm.fires, alarm.for_seconds, alarm.grace_seconds, alarm.then) == (None, 60, 60, "hold")


def test_a_plan_without_alarms_is_written_without_them() -> None:
    """Releases that know no alarms read such a plan."""
    assert "alarms" not in read_plan({"steps": STEPS, "alarms": []}).as_dict()


@given(st.sampled_from(["<", ">", "==", "!=", ">=", "<="]), st.floats(allow_nan=False, allow_infinity=False))
def test_a_condition_is_read_as_it_is_written(compare: str, bound: float) -> None:
    written = str(Condition(compare, bound))

    assert read_alarms([{"name": "a", "query": "q", "fires": written}])[0].fires == Condition(compare, bound)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        *[({"name": value}, "name") for value in (None, "", "a b", "ä", "x" * 65, 7)],
        *[({"query": value}, "query") for value in (None, "", " ", "a\0b", "x" * 2_001, 7)],
        *[
            ({"fires": value}, "fires")
            for value in (None, "", "0.05", ">", "> x", "~ 1", 0.05, "> inf", "> 1e999", "> 1 or 2")
        ],
        *[({"for": value}, "for") for value in (None, "", "0s", 60)],
        ({"grace": "forever"}, "grace"),
        ({"then": "pray"}, "then"),
        ({"expr": "up"}, "expr"),
    ],
)
def test_a_refusal_names_the_place_in_the_alarm(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_plan({"steps": STEPS, "alarms": [{"name": "a", "query": "q"} | change]})

    assert caught.value.field == f"alarms[0].{field}"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "alarms"),
        ([{"name": f"a{n}", "query": "q"} for n in range(21)], "alarms"),
        ([{"query": "q"}], "alarms[0].name"),
        ([{"name": "a", "query": "q"}, {"name": "a", "query": "r"}], "alarms[1].name"),
        (["up == 0"], "alarms[0]"),
    ],
)
def test_what_is_no_list_of_alarms_is_refused(data: object, field: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_plan({"steps": STEPS, "alarms": data})

    assert caught.value.field == field
