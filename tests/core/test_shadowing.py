"""Which requests are copied, and to whom."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core import document, routing, seating
from gateway.core.candidates import Left
from gateway.core.phases import Event, Phase
from gateway.core.plan import read_plan
from gateway.core.rollout import Rollout, move, start
from gateway.core.shadowing import Shadow, copied_percents, copy_slot, shadows_of
from gateway.core.slots import SLOTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.routing import Routing

STEPS: dict[str, Any] = {"steps": [{"weight": 10, "for": "1m"}]}
BY_USER = {"by": "header:x-user-id"}


def compiled(**members: Any) -> Routing:
    made = document.parse({"model": "fraud", "split": {"1": 95, "2": 5}, **members})
    return routing.compile_route(made, seating.seat_route(made))


def user(name: str) -> Any:
    """Return the values of a request that brings this user, none where the name is empty."""

    def values(kind: str, of: str) -> Sequence[bytes]:
        return (name.encode(),) if name and (kind, of) == ("header", "x-user-id") else ()

    return values


def shadowing(*events: Event, **plan: Any) -> Rollout:
    """Return a rollout of version 2 that went through preflight and then *events*."""
    read = read_plan({**STEPS, **plan})
    state = start("r", candidates=(2,), baseline=1, plan=read, before={1: 100}, baseline_rate=0.0, now=0.0)
    for event in (Event.DONE, Event.DONE, *events):
        state = move(state, event, now=1.0, revision=1, reason="").rollout
    return state


def test_a_shadow_has_its_percent_of_the_slots_and_none_at_zero() -> None:
    route = compiled(shadow={"4": 100, "3": 20, "5": 0}).document

    assert shadows_of(route, None) == (Shadow(3, 2_000), Shadow(4, 10_000))
    assert shadows_of(compiled().document, None) == ()


def test_each_candidate_of_a_rollout_that_is_in_it_shadows() -> None:
    alone = shadowing(shadow={"for": "1m", "share": "50%"})
    several = replace(alone, candidates=(2, 3, 4), left={4: Left(True, "why")})

    assert shadows_of(compiled().document, several) == (Shadow(2, 5_000, 0.0, 1), Shadow(3, 5_000, 0.0, 1))


def test_the_candidate_of_a_rollout_shadows_under_its_plan() -> None:
    rollout = shadowing(shadow={"for": "1m", "share": "50%", "tolerance": 0.1})

    assert rollout.phase is Phase.SHADOW
    assert shadows_of(compiled(shadow={"3": 20}).document, rollout) == (Shadow(2, 5_000, 0.1, 1), Shadow(3, 2_000))


def test_a_candidate_gets_the_most_that_plan_or_document_gives_it() -> None:
    rollout = shadowing(shadow={"for": "1m", "share": "50%"})

    assert shadows_of(compiled(shadow={"2": 70}).document, rollout) == (Shadow(2, 7_000, 0.0, 1),)


@pytest.mark.parametrize("event", [Event.HOLD, Event.PAUSE])
def test_a_shadow_phase_that_stands_still_goes_on_copying(event: Event) -> None:
    rollout = shadowing(event, shadow={"for": "1m"})

    assert rollout.phase is not Phase.SHADOW
    assert shadows_of(compiled().document, rollout) == (Shadow(2, SLOTS, 0.0, 1),)


@pytest.mark.parametrize("event", [Event.DONE, Event.ABORT])
def test_after_the_shadow_phase_nothing_is_copied(event: Event) -> None:
    assert shadows_of(compiled().document, shadowing(event, shadow={"for": "1m"})) == ()


def test_a_rollout_without_a_shadow_phase_copies_nothing() -> None:
    assert shadows_of(compiled().document, shadowing()) == ()


def test_draws_are_copied_by_their_share_whatever_version_they_get() -> None:
    route, rng = compiled(split={"1": 50, "2": 50}), random.Random(7)
    draws = [rng.getrandbits(64) for _ in range(20_000)]

    for version in (1, 2):
        mine = [draw for draw in draws if route.decide(user(""), draw)[0] == version]
        copied = sum(copy_slot(route, user(""), draw) < 2_000 for draw in mine)
        assert abs(copied - 0.2 * len(mine)) < 4.5 * math.sqrt(len(mine) * 0.16)


def test_keys_are_copied_by_their_share_whatever_version_they_get() -> None:
    route = compiled(split={"1": 50, "2": 50}, assign=BY_USER)
    users = [user(f"user-{number}") for number in range(20_000)]

    for version in (1, 2):
        mine = [each for each in users if route.decide(each, 0)[0] == version]
        copied = sum(copy_slot(route, each, 0) < 2_000 for each in mine)
        assert abs(copied - 0.2 * len(mine)) < 4.5 * math.sqrt(len(mine) * 0.16)


def test_a_key_is_copied_always_or_never_and_the_same_everywhere() -> None:
    route, rng = compiled(assign=BY_USER), random.Random(7)

    for name, slot in (("user-1", 2_277), ("user-42", 454), ("Zoë", 2_711)):
        assert {copy_slot(route, user(name), rng.getrandbits(64)) for _ in range(50)} == {slot}


def test_a_request_without_a_key_draws() -> None:
    route = compiled(assign=BY_USER)

    assert copy_slot(route, user(""), 0) == 0
    assert copy_slot(route, user(""), 2**32 - 1) == SLOTS - 1


def test_a_request_that_is_copied_to_a_few_is_among_those_that_are_copied_to_more() -> None:
    route, draws = compiled(), range(0, 2**32, 2**26)

    few = {draw for draw in draws if copy_slot(route, user(""), draw) < 2_000}

    assert few < {draw for draw in draws if copy_slot(route, user(""), draw) < 5_000}


def test_an_explanation_of_a_random_route_says_the_percent() -> None:
    route = compiled(shadow={"3": 20})

    explained = route.explain(b"", user(""))

    assert copied_percents(route, shadows_of(route.document, None), explained) == {3: 20.0}


def test_an_explanation_of_a_key_says_all_or_nothing() -> None:
    route = compiled(shadow={"3": 70, "4": 20, "1": 100}, split={"1": 1}, assign=BY_USER)

    explained = route.explain(b"user-1", user("user-1"))

    assert explained.version == 1
    assert copied_percents(route, shadows_of(route.document, None), explained) == {3: 100.0, 4: 0.0}


def test_what_a_rule_takes_is_not_copied() -> None:
    rules = [{"when": {"header:x-user-id": "ann"}, "split": {"1": 1}}]
    route = compiled(shadow={"3": 100}, rules=rules)

    assert copied_percents(route, shadows_of(route.document, None), route.explain(b"", user("ann"))) == {}
