"""The tables of a route: kept apart, kept through changes, and never incomplete."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import seating as seatings
from gateway.core.document import RouteDocument, parse
from gateway.core.errors import InvalidDocument
from gateway.core.seating import Seating, reseat_route, seat_route
from gateway.core.slots import SLOTS, reseat, seat

ACME = {"when": {"header:x-tenant": "acme"}, "split": {"1": 50, "2": 50}}
GLOBEX = {"when": {"header:x-tenant": "globex"}, "split": {"2": 100}}
ACME_KEY = '{"header:x-tenant":["acme"]}'
GLOBEX_KEY = '{"header:x-tenant":["globex"]}'


def route(split: dict[str, int], *rules: dict[str, Any], salt: str = "m") -> RouteDocument:
    return parse({"split": split, "rules": list(rules), "assign": {"salt": salt}}, model="m")


def test_a_new_route_seats_its_split_and_each_rules_by_itself() -> None:
    seating = seat_route(route({"1": 95, "2": 5}, ACME, GLOBEX))

    assert seating.split == seat({1: 95, 2: 5})
    assert seating.rules == {ACME_KEY: seat({1: 1, 2: 1}), GLOBEX_KEY: seat({2: 1})}


def test_changing_the_split_moves_nobody_under_a_rule() -> None:
    old, new = route({"1": 100}, ACME), route({"1": 95, "2": 5}, ACME)

    seating = reseat_route(old, seat_route(old), new)

    assert seating.split == reseat(seat({1: 1}), {1: 95, 2: 5})
    assert seating.rules == seat_route(old).rules


def test_a_rule_is_recognised_by_what_it_matches_wherever_it_stands() -> None:
    changed = ACME | {"split": {"1": 25, "2": 75}}
    old, new = route({"1": 1}, ACME, GLOBEX), route({"1": 1}, GLOBEX, changed)

    seating = reseat_route(old, seat_route(old), new)

    assert seating.rules[ACME_KEY] == reseat(seat({1: 1, 2: 1}), {1: 1, 2: 3})
    assert seating.rules[ACME_KEY] != seat({1: 1, 2: 3})
    assert seating.rules[GLOBEX_KEY] == seat({2: 1})


def test_a_rule_that_is_new_is_seated_anew_and_one_that_is_gone_is_forgotten() -> None:
    old, new = route({"1": 1}, ACME), route({"1": 1}, GLOBEX)

    seating = reseat_route(old, seat_route(old), new)

    assert seating.rules == {GLOBEX_KEY: seat({2: 1})}


def test_another_salt_seats_everybody_anew() -> None:
    old = route({"1": 100}, ACME)
    moved = route({"1": 95, "2": 5}, ACME)
    seated = reseat_route(old, seat_route(old), moved)
    salted = route({"1": 95, "2": 5}, ACME, salt="n")

    assert reseat_route(moved, seated, salted) == seat_route(salted) != seated


def test_a_rollback_gives_the_seating_from_before() -> None:
    old, canary = route({"1": 100, "2": 0}, ACME), route({"1": 75, "2": 25}, ACME)
    before = seat_route(old)

    assert reseat_route(canary, reseat_route(old, before, canary), old) == before


def test_a_seating_cannot_be_changed() -> None:
    seating = seat_route(route({"1": 1}, ACME))

    with pytest.raises(TypeError):
        seating.split[1] = ()  # type: ignore[index]  # that it does not even type is the point
    with pytest.raises(TypeError):
        seating.rules[ACME_KEY][1] = ()  # type: ignore[index]  # the same


@pytest.mark.parametrize(
    "stacks",
    [
        {1: ((0, 9998),)},
        {1: ((0, 9999),), 2: ((5, 5),)},
        {1: ((0, 9998), (9998, 9998))},
        {1: ((0, 10_000),)},
        {1: ((-1, 9998),)},
        {},
    ],
    ids=str,
)
def test_a_table_that_is_not_complete_cannot_be_built(stacks: dict[int, tuple[tuple[int, int], ...]]) -> None:
    whole = seat({1: 1})

    with pytest.raises(InvalidDocument, match="split: "):
        Seating(stacks, {})
    with pytest.raises(InvalidDocument, match=r"rules.k: "):
        Seating(whole, {"k": stacks})


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_a_seating_written_and_read_is_the_same(history: list[tuple[int, int, int]]) -> None:
    document = route({"1": 100}, ACME)
    seating = seat_route(document)
    for weights in history:
        split = dict(zip("123", weights, strict=True))
        changed = route(split, ACME | {"split": split})
        document, seating = changed, reseat_route(document, seating, changed)

    written = json.loads(json.dumps(seating.as_dict()))

    assert seatings.parse(written, document) == seating


WHOLE = {"1": [[0, 9499]], "2": [[9999, 9500]]}


@pytest.mark.parametrize(
    ("split", "field", "said"),
    [
        (None, "split", "does not seat the versions"),
        ([], "split", "does not seat the versions"),
        ({"1": [[0, 9999]]}, "split", "does not seat the versions"),
        (WHOLE | {"3": []}, "split", "does not seat the versions"),
        ({1: [[0, 9499]], 2: [[9500, 9999]]}, "split", "does not seat the versions"),
        (WHOLE | {"1": [[0, 9498]]}, "split.1", "owns 9499 positions; its weight gives it 9500"),
        (WHOLE | {"2": [[0, 499]]}, "split", "exactly once"),
        (WHOLE | {"2": [[9500, 9998], [9500, 9500]]}, "split", "exactly once"),
        (WHOLE | {"2": {}}, "split.2", "no list of runs"),
        (WHOLE | {"2": [[9500, 10_000]]}, "split.2", "no run of positions"),
        (WHOLE | {"2": [[-1, 499]]}, "split.2", "no run of positions"),
        (WHOLE | {"2": [[9500]]}, "split.2", "no run of positions"),
        (WHOLE | {"2": [[9500.0, 9999]]}, "split.2", "no run of positions"),
        (WHOLE | {"2": [[True, 9999]]}, "split.2", "no run of positions"),
        (WHOLE | {"2": ["ab"]}, "split.2", "no run of positions"),
    ],
    ids=str,
)
def test_a_table_that_is_not_the_splits_is_refused(split: object, field: str, said: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        seatings.parse({"split": split, "rules": {}}, route({"1": 95, "2": 5}))

    assert caught.value.field == field
    assert said in caught.value.reason


def test_the_tables_must_be_those_of_the_routes_rules() -> None:
    document = route({"1": 95, "2": 5}, GLOBEX)

    for rules in ({}, {ACME_KEY: {"2": [[0, 9999]]}}, {GLOBEX_KEY: {"2": [[0, 9999]]}, "x": {}}):
        with pytest.raises(InvalidDocument, match="rules: are not the rules"):
            seatings.parse({"split": WHOLE, "rules": rules}, document)
    with pytest.raises(InvalidDocument, match="owns 1 positions"):
        seatings.parse({"split": WHOLE, "rules": {GLOBEX_KEY: {"2": [[0, 0]]}}}, document)


@pytest.mark.parametrize("more", [{}, {"rules": []}, {"rules": {}, "x": 1}], ids=str)
def test_a_seating_has_two_members(more: dict[str, Any]) -> None:
    for data in (None, more, {"split": WHOLE} | more):
        with pytest.raises(InvalidDocument, match="no seating"):
            seatings.parse(data, route({"1": 95, "2": 5}))


def test_every_position_is_owned_after_a_long_history() -> None:
    document = route({"1": 100})
    seating = seat_route(document)
    for step in range(60):
        changed = route({"1": 1 + step * 7 % 31, "2": step * 11 % 17, "3": step * 5 % 13})
        document, seating = changed, reseat_route(document, seating, changed)

    owned = sum(abs(last - first) + 1 for runs in seating.split.values() for first, last in runs)

    assert owned == SLOTS
    assert sum(len(runs) for runs in seating.split.values()) < 1000
