"""Which version answers: rules first, then a key or a draw."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.document import parse
from gateway.core.errors import InvalidRequest
from gateway.core.routing import MAX_KEY_BYTES, Routing, compile_route
from gateway.core.seating import reseat_route, seat_route
from gateway.core.slots import SLOTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.routing import Values

STICKY = {"by": "header:x-user-id"}
LOW, HIGH = 0, 2**64 - 1
"""Draws that fall into the first and the last slot."""


def routing(split: dict[str, int], **members: Any) -> Routing:
    """Return the routing of a route that came from all traffic on version 1."""
    old = parse({"split": {"1": 100}} | members, model="breast-cancer")
    new = parse({"split": split} | members, model="breast-cancer")
    return compile_route(new, reseat_route(old, seat_route(old), new))


def request(**values: bytes | Sequence[bytes]) -> Values:
    """Return the values of a request: ``header__x_user_id=b"…"``."""
    held = {
        (kind, name.replace("_", "-")): [found] if isinstance(found, bytes) else list(found)
        for text, found in values.items()
        for kind, name in [text.split("__")]
    }
    return lambda kind, name: held.get((kind, name), ())


def by_user(key: bytes, *more: bytes) -> Values:
    return request(header__x_user_id=[key, *more])


def draws(count: int) -> list[int]:
    return [(2 * i + 1) * 2**63 // count for i in range(count)]


def test_draws_are_split_by_weight_exactly() -> None:
    route = routing({"1": 94, "2": 5, "3": 1})

    answers = Counter(route.decide(request(), draw) for draw in draws(SLOTS))

    assert answers == {(1, "split"): 9400, (2, "split"): 500, (3, "split"): 100}


def test_a_weight_of_zero_gets_no_draw_at_all() -> None:
    route = routing({"1": 0, "2": 100})

    assert {route.decide(request(), draw) for draw in draws(SLOTS)} == {(2, "split")}


def test_a_key_is_answered_by_one_version_whatever_is_drawn() -> None:
    route = routing({"1": 95, "2": 5}, assign=STICKY)

    assert {route.decide(by_user(b"user-5"), draw) for draw in draws(100)} == {(2, "split")}
    assert {route.decide(by_user(b"user-1"), draw) for draw in draws(100)} == {(1, "split")}


@pytest.mark.parametrize("source", ["header:x-key", "cookie:x-key", "query:x-key", "parameter:x-key"])
def test_a_key_can_come_from_any_source(source: str) -> None:
    kind = source.partition(":")[0]
    route = routing({"1": 95, "2": 5}, assign={"by": source})

    assert route.decide(request(**{f"{kind}__x_key": b"user-5"}), LOW) == (2, "split")
    assert route.decide(request(**{f"{kind}__x_key": b"user-42"}), HIGH) == (1, "split")


@pytest.mark.parametrize("key", [b"user-5 ", b" \tuser-5\t", b"user-5"])
def test_blanks_around_a_key_do_not_count(key: bytes) -> None:
    assert routing({"1": 95, "2": 5}, assign=STICKY).decide(by_user(key), LOW) == (2, "split")


def test_a_key_is_taken_byte_by_byte() -> None:
    route = routing({"1": 75, "2": 25}, assign=STICKY)

    assert route.explain(b"USER-1", request()).point != route.explain(b"user-1", request()).point
    assert route.explain(b"user-1\n", request()).point != route.explain(b"user-1", request()).point
    assert route.decide(by_user(b"\xff\xfe\x00"), LOW) == route.decide(by_user(b"\xff\xfe\x00"), HIGH)


@pytest.mark.parametrize("found", [[], [b""], [b"  "], [b"", b"\t"]], ids=str)
def test_without_a_key_the_request_is_drawn(found: list[bytes]) -> None:
    route = routing({"1": 95, "2": 5}, assign=STICKY)

    answers = Counter(route.decide(request(header__x_user_id=found), draw) for draw in draws(SLOTS))

    assert answers == {(1, "split"): 9500, (2, "split"): 500}


def test_without_a_key_the_baseline_answers_where_the_route_says_so() -> None:
    route = routing({"1": 5, "2": 95}, assign=STICKY | {"missing": "baseline"}, baseline="1")

    assert {route.decide(request(), draw) for draw in draws(100)} == {(1, "missing")}
    assert route.decide(by_user(b"user-5"), LOW) == (2, "split")


def test_where_one_version_has_everything_a_key_is_not_missed() -> None:
    route = routing({"1": 0, "2": 100}, assign=STICKY | {"missing": "baseline"}, baseline="1")

    assert route.decide(request(), LOW) == (2, "split")


def test_the_same_key_twice_is_one_key() -> None:
    route = routing({"1": 95, "2": 5}, assign=STICKY)

    assert route.decide(by_user(b"user-5", b" user-5", b""), LOW) == (2, "split")


@pytest.mark.parametrize("split", [{"1": 95, "2": 5}, {"1": 100}], ids=str)
@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([b"user-5", b"user-1"], "ambiguous_key"),
        ([b"", b"user-5", b"user-1"], "ambiguous_key"),
        ([b"x" * (MAX_KEY_BYTES + 1)], "key_too_long"),
        ([b"x" * 10_240], "key_too_long"),
    ],
    ids=["two", "two and an empty one", "one byte too long", "10 KiB"],
)
def test_a_callers_mistake_is_one_whatever_the_weights_are(
    split: dict[str, int], found: list[bytes], code: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        routing(split, assign=STICKY).decide(request(header__x_user_id=found), LOW)

    assert caught.value.code == code
    assert "header:x-user-id" in str(caught.value)


def test_the_longest_key_is_read() -> None:
    longest = b" " + b"x" * MAX_KEY_BYTES + b" "

    assert routing({"1": 95, "2": 5}, assign=STICKY).decide(by_user(longest), LOW)[1] == "split"


TENANTS = [
    {"when": {"header:x-tenant": ["acme", "glob*"]}, "split": {"2": 100}},
    {"when": {"header:x-tenant": "*", "cookie:beta": "yes"}, "split": {"3": 100}},
]


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        (request(header__x_tenant=b"acme"), (2, "rule-1")),
        (request(header__x_tenant=b" acme\t"), (2, "rule-1")),
        (request(header__x_tenant=b"globex"), (2, "rule-1")),
        (request(header__x_tenant=b"glob"), (2, "rule-1")),
        (request(header__x_tenant=b"acme", cookie__beta=b"yes"), (2, "rule-1")),
        (request(header__x_tenant=b"initech", cookie__beta=b"yes"), (3, "rule-2")),
        (request(header__x_tenant=[b"initech", b"acme"]), (2, "rule-1")),
        (request(header__x_tenant=b"initech"), (1, "split")),
        (request(header__x_tenant=b"ACME"), (1, "split")),
        (request(header__x_tenant=b"acme2"), (1, "split")),
        (request(header__x_tenant=b"", cookie__beta=b"yes"), (1, "split")),
        (request(cookie__beta=b"yes"), (1, "split")),
        (request(), (1, "split")),
    ],
)
def test_the_first_rule_of_which_every_entry_holds_decides(values: Values, answer: tuple[int, str]) -> None:
    route = routing({"1": 100}, rules=TENANTS)

    assert route.decide(values, LOW) == answer


def test_what_several_rules_ask_is_read_once() -> None:
    asked: Counter[tuple[str, str]] = Counter()
    held = request(header__x_tenant=b"initech", header__x_user_id=b"user-5")

    def counting(kind: str, name: str) -> Sequence[bytes]:
        asked[kind, name] += 1
        return held(kind, name)

    rules = [{"when": {"header:x-tenant": f"tenant-{at}", "cookie:beta": "yes"}, "split": {"2": 1}} for at in range(5)]
    rules.append({"when": {"header:x-tenant": "initech"}, "split": {"3": 1}})

    assert routing({"1": 100}, assign=STICKY, rules=rules).decide(counting, LOW) == (3, "rule-6")
    assert set(asked.values()) == {1}
    assert asked["header", "x-tenant"] == 1


def test_a_rules_value_is_matched_as_utf8() -> None:
    route = routing({"1": 1}, rules=[{"when": {"query:city": ["Zürich", "Gen*"]}, "split": {"2": 1}}])

    assert route.decide(request(query__city="Zürich".encode()), LOW) == (2, "rule-1")
    assert route.decide(request(query__city="Genève".encode()), LOW) == (2, "rule-1")
    assert route.decide(request(query__city="Zürich".encode("latin-1")), LOW) == (1, "split")


def test_a_rule_has_a_split_of_its_own_over_the_same_slots() -> None:
    half = [{"when": {"header:x-tenant": "acme"}, "split": {"1": 50, "2": 50}}]
    route = routing({"1": 100}, assign=STICKY, rules=half)

    answers = {
        route.decide(request(header__x_tenant=b"acme", header__x_user_id=b"user-%d" % i), LOW) for i in range(50)
    }

    assert answers == {(1, "rule-1"), (2, "rule-1")}
    assert route.decide(by_user(b"user-5"), LOW) == (1, "split")


def test_without_a_key_a_rule_that_leaves_a_choice_falls_to_the_baseline_and_one_that_leaves_none_does_not() -> None:
    rules = [
        {"when": {"header:x-tenant": "acme"}, "split": {"1": 50, "2": 50}},
        {"when": {"header:x-tenant": "globex"}, "split": {"2": 100}},
    ]
    route = routing({"1": 95, "2": 5}, assign=STICKY | {"missing": "baseline"}, rules=rules, baseline="7")

    assert route.decide(request(header__x_tenant=b"acme"), LOW) == (7, "missing")
    assert route.decide(request(header__x_tenant=b"globex"), LOW) == (2, "rule-2")


@pytest.mark.parametrize(
    ("members", "needed"),
    [
        ({}, False),
        ({"assign": STICKY, "rules": TENANTS}, False),
        ({"assign": {"by": "parameter:user"}}, True),
        ({"rules": [{"when": {"query:a": "1", "parameter:tier": "gold"}, "split": {"2": 1}}]}, True),
    ],
)
def test_parameters_are_asked_for_only_where_the_route_reads_them(members: dict[str, Any], needed: bool) -> None:
    assert routing({"1": 100}, **members).needs_parameters is needed


def test_a_random_route_without_rules_reads_nothing_of_the_request() -> None:
    def unread(kind: str, name: str) -> Sequence[bytes]:
        raise AssertionError((kind, name))

    assert routing({"1": 100}).decide(unread, HIGH) == (1, "split")


@given(st.binary(max_size=60), st.sampled_from(["random", "baseline"]))
def test_an_explanation_agrees_with_the_decision(key: bytes, missing: str) -> None:
    route = ROUTES[missing]

    explained = route.explain(key, request(header__x_tenant=b"initech"))
    decided = {route.decide(request(header__x_user_id=key, header__x_tenant=b"initech"), draw) for draw in draws(40)}

    if explained.version is None:
        assert {version for version, _ in decided} == {1, 2}
    else:
        assert decided == {(explained.version, explained.rule)}


ROUTES = {
    missing: routing({"1": 50, "2": 50}, assign=STICKY | {"missing": missing}, rules=TENANTS)
    for missing in ("random", "baseline")
}


def test_an_explanation_shows_every_step_from_key_to_version() -> None:
    route = routing({"1": 95, "2": 5}, assign=STICKY)

    assert route.explain(b" user-5 ", request()).as_dict() == {
        "key": "user-5",
        "key_hex": "757365722d35",
        "by": "header:x-user-id",
        "salt": "breast-cancer",
        "point": "6de112d4eac64bbf",
        "slot": 4292,
        "position": 9904,
        "version": "2",
        "rule": "split",
    }


def test_an_explanation_names_the_rule_that_matched() -> None:
    explained = routing({"1": 100}, rules=TENANTS).explain(b"", request(header__x_tenant=b"acme"))

    assert (explained.version, explained.rule) == (2, "rule-1")


def test_an_explanation_of_a_draw_names_no_version() -> None:
    explained = routing({"1": 95, "2": 5}).explain(b"user-5", request()).as_dict()

    assert explained["by"] == "random"
    assert (explained["point"], explained["slot"], explained["position"], explained["version"]) == (None,) * 4


def test_an_explanation_of_a_lone_version_names_it_without_a_key() -> None:
    assert routing({"1": 100}).explain(b"", request()).version == 1
    assert routing({"1": 100}, assign=STICKY).explain(b"", request()).version == 1


def test_a_key_that_is_no_text_is_shown_in_hexadecimal_only() -> None:
    explained = routing({"1": 100}, assign=STICKY).explain(b"\xff", request()).as_dict()

    assert (explained["key"], explained["key_hex"]) == (None, "ff")


def test_the_point_of_a_request_is_the_one_that_its_key_is_explained_with() -> None:
    sticky, by_chance = routing({"1": 50, "2": 50}, assign=STICKY), routing({"1": 50, "2": 50})
    asked = request(header__x_user_id=b" user-5 ")

    assert sticky.point(asked) == sticky.explain(b"user-5", asked).point
    assert sticky.point(request()) is None
    assert by_chance.point(asked) is None


@pytest.mark.parametrize("split", [{"1": 95, "2": 5}, {"2": 1}])
def test_a_point_that_is_known_already_gives_what_its_key_gives_and_no_key_is_read(split: dict[str, int]) -> None:
    sticky = routing(split, assign=STICKY)
    asked = by_user(b"user-5")

    assert sticky.decide(request(), HIGH, sticky.point(asked)) == sticky.decide(asked, HIGH)
    assert sticky.decide(request(), HIGH, sticky.point(request())) == sticky.decide(request(), HIGH)


def test_a_key_that_no_request_may_have_is_not_explained() -> None:
    with pytest.raises(InvalidRequest):
        routing({"1": 95, "2": 5}, assign=STICKY).explain(b"x" * 5000, request())


def test_shares_are_those_of_the_slots() -> None:
    assert routing({"1": 999_999, "2": 1, "3": 0}).shares() == {1: 0.9999, 2: 0.0001, 3: 0.0}
