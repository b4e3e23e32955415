"""Alarms of a plan: queries that somebody else's monitoring answers, and what their answers mean for a rollout.

A query is opaque text. An answer may hold a rollout, and roll it back where the plan says so; the lack of an answer
holds after a time of grace and never rolls back, because a monitoring that is away says nothing of a canary. All times
are seconds of one clock that the caller reads.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isinf, isnan
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, check_choice, members_of, shown, text_of
from gateway.core.quantities import check_seconds, seconds_of, written_seconds
from gateway.core.verdicts import Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.verdicts import Verdict

GUARD: Final = "alarms"
"""The name of these guards in reasons, history and metrics."""

MEMBERS: Final = ("name", "query", "fires", "for", "grace", "then")
THEN: Final = ("hold", "rollback")
MAX_ALARMS: Final = 20
MAX_QUERY: Final = 2_000
NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
CONDITION: Final = re.compile(r"(>=|<=|==|!=|>|<) ?([+-]?[0-9]{1,17}(?:\.[0-9]{1,25})?(?:e[+-]?[0-9]{1,3})?)", re.ASCII)
COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
LEAST_BETWEEN: Final = 1.0
MOST_BETWEEN: Final = 15.0
"""Seconds from one question to the next: a quarter of ``for``, within these."""


@dataclass(frozen=True, slots=True)
class Condition:
    """When a number fires: *compare* is one of COMPARE."""

    compare: str
    bound: float

    def holds(self, value: float) -> bool:
        return COMPARE[self.compare](value, self.bound)

    def __str__(self) -> str:
        return f"{self.compare} {self.bound!r}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm. *fires* None: the query compares by itself, and fires where it answers anything at all.

    for_seconds: how long it has to fire without a break. grace_seconds: how long it may stay unanswered.
    """

    name: str
    query: str
    fires: Condition | None = None
    for_seconds: int = 60
    grace_seconds: int = 60
    then: str = "hold"

    def __post_init__(self) -> None:
        with at("name"):
            if not NAME.fullmatch(self.name):
                raise InvalidDocument("", f"{shown(self.name)} is no name; write 1 to 64 letters, digits, _ and -")
        with at("query"):
            _check_query(self.query)
        with at("for"):
            check_seconds(self.for_seconds)
        with at("grace"):
            check_seconds(self.grace_seconds)
        with at("then"):
            check_choice(self.then, THEN)

    @property
    def seconds_between(self) -> float:
        """How long after a question the next is asked."""
        return min(MOST_BETWEEN, max(LEAST_BETWEEN, self.for_seconds / 4))

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "query": self.query,
            **({"fires": str(self.fires)} if self.fires else {}),
            "for": written_seconds(self.for_seconds),
            "grace": written_seconds(self.grace_seconds),
            "then": self.then,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query evaluated to: the numbers of a vector, or with *is_vector* false of a scalar."""

    values: tuple[float, ...]
    is_vector: bool = True


@dataclass(frozen=True, slots=True)
class Silence:
    """There is no answer; *reason* says why in words that hold no secret."""

    reason: str


class State(StrEnum):
    """What is known of an alarm."""

    QUIET = "quiet"
    PENDING = "pending"
    """It fires, and not for long enough."""
    FIRING = "firing"
    UNANSWERED = "unanswered"
    """The newest question has no answer, and the grace is not over."""
    SILENT = "silent"
    """There has been no answer for longer than the grace."""


OPEN: Final = (State.PENDING, State.UNANSWERED, State.SILENT)


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm at one moment. age_seconds: of the last answer, None before the first; *text* says it in words."""

    alarm: Alarm
    state: State
    text: str
    value: float | None
    age_seconds: float | None


@dataclass(frozen=True, slots=True)
class Watched:
    """An alarm and what it was heard to say, as a value that grows by ``after``.

    begun: when it was asked for the first time. heard: when the last answer came. firing_since: when it began to fire,
    by the answers. value: the number of that answer that counts. problem: why the newest question has no answer.
    """

    alarm: Alarm
    begun: float
    heard: float | None = None
    firing_since: float | None = None
    value: float | None = None
    problem: str = "it was not answered yet"

    def after(self, reply: Answer | Silence, now: float) -> Watched:
        """Return what is known after *reply* came at *now*."""
        read = _reading(self.alarm, reply)
        if isinstance(read, Silence):
            return replace(self, problem=read.reason)
        fires, value = read
        began = (
            now if self.firing_since is None or self._unanswered(now) > self.alarm.grace_seconds else self.firing_since
        )
        return replace(self, heard=now, firing_since=began if fires else None, value=value, problem="")

    def standing(self, now: float) -> Standing:
        """Return where the alarm stands at *now*."""
        state = self._state(now)
        age = None if self.heard is None else max(0.0, now - self.heard)
        return Standing(self.alarm, state, self._text(state, now), self.value, age)

    def _state(self, now: float) -> State:
        pause = 0.0 if self.problem else self.alarm.seconds_between
        if self._unanswered(now) > self.alarm.grace_seconds + pause:
            return State.SILENT
        if self.problem:
            return State.UNANSWERED
        if self.firing_since is None or self.heard is None:
            return State.QUIET
        return State.FIRING if self.heard - self.firing_since >= self.alarm.for_seconds else State.PENDING

    def _unanswered(self, now: float) -> float:
        return now - (self.begun if self.heard is None else self.heard)

    def _text(self, state: State, now: float) -> str:
        name = self.alarm.name
        if self.problem or state is State.SILENT:
            problem = self.problem or "a question is under way"
            return f"alarm {name} has had no answer for {self._unanswered(now):.0f} s: {problem}"
        if self.firing_since is None:
            return f"alarm {name} is quiet"
        seconds = (self.heard or now) - self.firing_since
        said = "its query answers" if self.alarm.fires is None else f"{_number(self.value)} is {self.alarm.fires}"
        verb = "fires" if state is State.FIRING else f"begins to fire, and needs {self.alarm.for_seconds} s of it"
        return f"alarm {name} {verb}: {said}, for {seconds:.0f} s"


def read_alarms(data: object) -> tuple[Alarm, ...]:
    """Return the alarms that a plan's member ``alarms`` lists. Raises InvalidDocument."""
    if not isinstance(data, list) or len(data) > MAX_ALARMS:
        raise InvalidDocument("", f"{shown(data)} is no list of at most {MAX_ALARMS} alarms")
    found: list[Alarm] = []
    for index, entry in enumerate(data):
        with at(f"[{index}]"):
            alarm = _alarm(entry)
            if alarm.name in {each.name for each in found}:
                raise InvalidDocument("name", f"{shown(alarm.name)} is the name of an alarm before; write another")
            found.append(alarm)
    return tuple(found)


def gated(verdict: Verdict, standings: Sequence[Standing], *, has_traffic: bool) -> Verdict:
    """Return *verdict* with what alarms have to say put in front of it.

    An alarm that fires turns it into HOLD, or FAIL where the plan says so and the canary *has_traffic*: one that fires
    before it had any is nothing that it did. One that is silent turns it into HOLD. FAIL stays what it is. An alarm is
    about no one of several candidates, so what it says is said of each, and a FAIL by it of all.
    """
    if verdict.each:
        each = tuple(gated(one, standings, has_traffic=has_traffic) for one in verdict.each)
        verdict = replace(verdict, each=each)
    firing = [each for each in standings if each.state is State.FIRING]
    fatal = [each for each in firing if each.alarm.then == "rollback" and has_traffic]
    if verdict.kind is Kind.FAIL:
        return verdict
    if fatal:
        version = None if verdict.each else verdict.version
        return replace(verdict, kind=Kind.FAIL, reasons=_reasons(fatal), version=version)
    held = _reasons([each for each in standings if each.state in {State.FIRING, State.SILENT}])
    if not held:
        return verdict
    return replace(verdict, kind=Kind.HOLD, reasons=held + (verdict.reasons if verdict.kind is Kind.HOLD else ()))


def unsettled(standings: Sequence[Standing]) -> str:
    """Return what has to be known before anything is raised; empty where every alarm has lately said what it says."""
    return "; ".join(each.text for each in standings if each.state in OPEN)


def _reasons(standings: Sequence[Standing]) -> tuple[Reason, ...]:
    return tuple(Reason(GUARD, each.text) for each in standings)


def _reading(alarm: Alarm, reply: Answer | Silence) -> tuple[bool, float | None] | Silence:
    """Return whether *reply* fires and the number that counts; Silence where it says neither."""
    if isinstance(reply, Silence):
        return reply
    if alarm.fires is None:
        if not reply.is_vector:
            return Silence('the query answers a scalar, which is always there: write fires, such as "> 0.05"')
        return bool(reply.values), next(iter(reply.values), None)
    numbers = [value for value in reply.values if not isnan(value)]
    if not numbers:
        return Silence("the query has no data: no series matches, or all are NaN")
    hit = next((value for value in numbers if alarm.fires.holds(value)), None)
    return (True, hit) if hit is not None else (False, numbers[0])


def _alarm(data: object) -> Alarm:
    members = members_of(data, MEMBERS, needed=("name", "query"), what="alarm")
    given: dict[str, Any] = {}
    for member, field, read in (
        ("fires", "fires", _condition), ("for", "for_seconds", seconds_of), ("grace", "grace_seconds", seconds_of),
    ):  # fmt: skip
        if member in members:
            with at(member):
                given[field] = read(members[member])
    with at("name"):
        name = text_of(members["name"])
    return Alarm(name, members["query"], then=members.get("then", "hold"), **given)


def _condition(data: object) -> Condition:
    found = CONDITION.fullmatch(data.strip()) if isinstance(data, str) else None
    if found is None or isinf(float(found[2])):
        raise InvalidDocument(
            "", f'{shown(data)} is no condition; write such as "> 0.05", with one of {", ".join(COMPARE)}'
        )
    return Condition(found[1], float(found[2]))


def _check_query(query: object) -> None:
    if not isinstance(query, str) or not query.strip() or CONTROL.search(query):
        raise InvalidDocument("", f"{shown(query)} is no query; write text without control characters")
    if len(query) > MAX_QUERY:
        raise InvalidDocument(
            "", f"{len(query)} characters are too many; write at most {MAX_QUERY}, or a recording rule"
        )


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g}"
