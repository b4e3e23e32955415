"""The rules of a route document: literals and prefixes, and none that can never match."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.document import RouteDocument, parse
from gateway.core.errors import InvalidDocument
from gateway.core.rules import MAX_RULES, MAX_VALUES, Match, Rule, Source

TENANT = Source("header", "x-tenant")


def rule(when: object, split: object = None) -> dict[str, Any]:
    return {"when": when, "split": {"2": 100} if split is None else split}


def read(*rules: object) -> RouteDocument:
    return parse({"split": {"1": 1}, "rules": list(rules)}, model="m")


def refused(*rules: object) -> InvalidDocument:
    with pytest.raises(InvalidDocument) as caught:
        read(*rules)
    return caught.value


def test_one_value_and_a_list_of_one_are_the_same_rule() -> None:
    assert read(rule({"header:x-tenant": "acme"})) == read(rule({"header:x-tenant": ["acme"]}))


def test_the_order_in_which_a_rule_is_written_does_not_change_its_key() -> None:
    one = read(rule({"header:X-Tenant": ["b", "a", "b"], "cookie:c": "é"})).rules[0]
    other = read(rule({"cookie:c": ["é"], "header:x-tenant": ["a", "b"]})).rules[0]

    assert one == other
    assert one.key == other.key == '{"cookie:c":["é"],"header:x-tenant":["a","b"]}'


@pytest.mark.parametrize(
    "value", ["(a+)+$", "^acme", "a|b", "a[bc]", "a{2}", "a\\d", "a*b", "*a", "a**", ".*)", "a]", "}"]
)
def test_what_reads_like_a_regular_expression_is_refused(value: str) -> None:
    error = refused(rule({"header:x-tenant": [value]}))

    assert error.field == "rules[0].when.header:x-tenant"
    assert "regular expression" in error.reason


@pytest.mark.parametrize("value", ["acme", "a.b+c@d.org", "acme-*", "*", "50%", "Zoë", "a b", "what?"])
def test_a_literal_and_a_prefix_are_no_regular_expression(value: str) -> None:
    assert read(rule({"header:x-tenant": value})).rules[0].when == (Match(TENANT, (value,)),)


@pytest.mark.parametrize(
    ("when", "field", "said"),
    [
        ({}, "rules[0].when", "takes everything"),
        ([], "rules[0].when", "maps no source"),
        ({"header:x-tenant": []}, "rules[0].when.header:x-tenant", "no value"),
        ({"header:x-tenant": ""}, "rules[0].when.header:x-tenant", "too few"),
        ({"header:x-tenant": 42}, "rules[0].when.header:x-tenant", "42 is no text; put it in quotes"),
        ({"header:x-tenant": [True]}, "rules[0].when.header:x-tenant", "in quotes"),
        ({"header:x-tenant": " a"}, "rules[0].when.header:x-tenant", "can never match"),
        ({"header:x-tenant": "a "}, "rules[0].when.header:x-tenant", "can never match"),
        ({"header:x-tenant": "a\n"}, "rules[0].when.header:x-tenant", "control character"),
        ({"tenant": "a"}, "rules[0].when.tenant", "no source"),
        ({"random": "a"}, "rules[0].when.random", "no source"),
        ({7: "a"}, "rules[0].when.7", "no source"),
        ({"header:a b": "a"}, "rules[0].when.'header:a b'", "no name of a header"),
        ({"header:Connection": "a"}, "rules[0].when.header:Connection", "use another header"),
        ({"header:authorization": "a"}, "rules[0].when.header:authorization", "use another header"),
        ({"header:x-a": "1", "header:X-A": "2"}, "rules[0].when", "one source twice"),
    ],
    ids=str,
)
def test_a_refusal_names_the_place_in_the_rule(when: object, field: str, said: str) -> None:
    error = refused(rule(when))

    assert error.field == field
    assert said in error.reason


def test_a_rules_split_is_checked_like_the_routes() -> None:
    assert refused(rule({"query:a": "b"}, {"2": -1})).field == "rules[0].split.2"
    assert refused(rule({"query:a": "b"}, {"2": 0})).field == "rules[0].split"


def test_a_rule_has_two_members() -> None:
    assert refused({"when": {"query:a": "b"}}).field == "rules[0].split"
    assert refused(rule({"query:a": "b"}) | {"name": "x"}).field == "rules[0].name"
    assert refused("acme").field == "rules[0]"


@pytest.mark.parametrize("rules", [None, {}, "acme"])
def test_rules_are_a_list(rules: object) -> None:
    with pytest.raises(InvalidDocument, match=r"rules: .* is no list"):
        parse({"split": {"1": 1}, "rules": rules}, model="m")


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"query:a": "x"}, {"query:a": "x"}),
        ({"query:a": ["x", "y"]}, {"query:a": "y"}),
        ({"query:a": "x*"}, {"query:a": ["x", "xy", "xyz*"]}),
        ({"query:a": "*"}, {"query:a": "q"}),
        ({"query:a": "x"}, {"query:a": "x", "query:b": "y"}),
        ({"query:a": "x*", "query:b": "y"}, {"query:c": "z", "query:b": "y", "query:a": "xx"}),
    ],
    ids=str,
)
def test_a_rule_that_an_earlier_one_takes_everything_from_is_refused(earlier: object, later: object) -> None:
    error = refused(rule({"query:z": "z"}), rule(earlier), rule(later))

    assert error.field == "rules[2]"
    assert "rule 2 comes first" in error.reason


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"query:a": "x"}, {"query:a": ["x", "y"]}),
        ({"query:a": "x"}, {"query:a": "x*"}),
        ({"query:a": "x"}, {"cookie:a": "x"}),
        ({"query:a": "xy*"}, {"query:a": "x*"}),
        ({"query:a": "x", "query:b": "y"}, {"query:a": "x"}),
        ({"query:a": "x", "query:b": "y"}, {"query:a": "x", "query:b": "z"}),
    ],
    ids=str,
)
def test_two_rules_that_overlap_in_part_are_both_kept(earlier: object, later: object) -> None:
    assert len(read(rule(earlier), rule(later)).rules) == 2


def test_rules_and_their_values_are_bounded() -> None:
    most = [rule({"query:a": f"v{number}"}) for number in range(MAX_RULES)]
    values = [f"v{number}" for number in range(MAX_VALUES)]

    assert len(read(*most).rules) == MAX_RULES
    assert len(read(rule({"query:a": values})).rules[0].when[0].values) == MAX_VALUES
    assert "101 rules" in refused(*most, rule({"query:b": "x"})).reason
    assert "5001 values" in refused(rule({"query:a": values}), rule({"query:b": "x"})).reason


def test_a_rule_cannot_be_built_wrong() -> None:
    with pytest.raises(InvalidDocument, match="when"):
        Rule((), {1: 1})
    with pytest.raises(InvalidDocument, match="one source twice"):
        Rule((Match(TENANT, ("a",)), Match(TENANT, ("b",))), {1: 1})
    with pytest.raises(InvalidDocument, match="split"):
        Rule((Match(TENANT, ("a",)),), {1: 0})
