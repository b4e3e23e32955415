"""Aliases: what may be one, where one points, and that none of them moves traffic."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import routing, seating
from gateway.core.aliases import MAX_ALIASES, resolve
from gateway.core.document import RouteDocument, parse
from gateway.core.errors import InvalidDocument, UnknownAlias


def route(split: dict[str, int], **members: Any) -> RouteDocument:
    return parse({"split": split, "baseline": "1", **members}, model="fraud")


@pytest.mark.parametrize(
    ("aliases", "field"),
    [
        ([], "aliases"),
        ("champion", "aliases"),
        (None, "aliases"),
        ({f"a{number}": "1" for number in range(MAX_ALIASES + 1)}, "aliases"),
        ({"stable": "1"}, "aliases.stable"),
        ({"canary": "2"}, "aliases.canary"),
        ({"": "1"}, "aliases.''"),
        ({"a-b": "1"}, "aliases.a-b"),
        ({"ä": "1"}, "aliases.'ä'"),
        ({"a\n": "1"}, r"aliases.'a\n'"),
        ({"a" * 65: "1"}, "aliases.'" + "a" * 63 + "…'"),
        ({1: "1"}, "aliases.1"),
        ({"champion": "latest"}, "aliases.champion"),
        ({"champion": "01"}, "aliases.champion"),
        ({"champion": 0}, "aliases.champion"),
        ({"champion": True}, "aliases.champion"),
        ({"champion": None}, "aliases.champion"),
        ({"champion": "challenger"}, "aliases.champion"),
    ],
    ids=repr,
)
def test_what_is_no_alias_is_refused_with_its_path(aliases: object, field: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        route({"1": 1}, aliases=aliases)

    assert refused.value.field == field


def test_aliases_are_written_by_name_with_their_versions_as_text() -> None:
    document = route({"1": 1}, aliases={"loser": 3, "Champion_2": "2"})

    assert list(document.as_dict()["aliases"].items()) == [("Champion_2", "2"), ("loser", "3")]


def test_a_route_without_aliases_is_written_as_releases_before_them_read_it() -> None:
    assert "aliases" not in route({"1": 1}, aliases={}).as_dict()


def test_aliases_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        route({"1": 1}, aliases={"champion": "2"}).aliases["champion"] = 3  # type: ignore[index]  # that is the point


def test_another_split_keeps_the_aliases() -> None:
    assert route({"1": 1}, aliases={"champion": "2"}).with_split({1: 1, 3: 1}).aliases == {"champion": 2}


def test_an_aliased_version_is_to_be_loaded_and_is_none_that_the_route_chooses() -> None:
    document = route({"1": 1}, aliases={"champion": "7"})

    assert document.versions() == {1}
    assert document.needed() == {1, 7}


def test_an_alias_seats_nobody() -> None:
    plain, named = route({"1": 9, "2": 1}), route({"1": 9, "2": 1}, aliases={"champion": "2"})

    assert seating.seat_route(plain) == seating.seat_route(named)
    assert routing.compile_route(named, seating.seat_route(named)).shares() == {1: 0.9, 2: 0.1}


def test_stable_is_the_baseline_whatever_its_weight() -> None:
    assert resolve(route({"1": 0, "2": 1}), "stable") == 1


@pytest.mark.parametrize("split", [{"1": 9, "2": 1}, {"2": 1}, {"1": 1, "2": 1, "3": 0}])
def test_canary_is_the_one_other_version_with_weight(split: dict[str, int]) -> None:
    assert resolve(route(split), "canary") == 2


@pytest.mark.parametrize(
    ("split", "why"),
    [({"1": 1, "2": 0}, "no version beside the baseline"), ({"1": 1, "2": 1, "3": 1}, "may be version 2, 3")],
)
def test_canary_that_is_not_one_version_points_nowhere_and_says_why(split: dict[str, int], why: str) -> None:
    with pytest.raises(UnknownAlias, match=why):
        resolve(route(split), "canary")


def test_an_alias_points_where_the_route_says() -> None:
    assert resolve(route({"1": 1}, aliases={"champion": "2"}), "champion") == 2


def test_in_a_rollout_canary_is_its_candidate_at_whatever_weight() -> None:
    assert resolve(route({"1": 1, "2": 0, "3": 1}), "canary", [2]) == 2


@pytest.mark.parametrize("alias", ["Champion", "latest", "", "2"])
def test_what_the_route_does_not_name_points_nowhere_and_is_told_what_would(alias: str) -> None:
    with pytest.raises(UnknownAlias, match="which has stable, canary, champion"):
        resolve(route({"1": 1}, aliases={"champion": "2"}), alias)
