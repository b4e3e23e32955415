"""What may be said of a version after it was published."""

from __future__ import annotations

import pytest

from gateway.core.tags import MAX_CHARACTERS, MAX_TAGS, InvalidTag, change, check_tag, matches, read_tag


@pytest.mark.parametrize("text", ["stage=production", "a=", "team/owner=x=y", "k=" + "x" * MAX_CHARACTERS])
def test_a_tag_is_a_key_and_everything_behind_the_first_equals_sign(text: str) -> None:
    assert "=".join(read_tag(text)) == text


@pytest.mark.parametrize("text", ["stage", "=x", "a b=x", "-a=x", "a-=x", "a=x\ny", "k=" + "x" * 257, f"{'k' * 64}=x"])
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(InvalidTag):
        read_tag(text)


def test_a_value_is_text() -> None:
    with pytest.raises(InvalidTag, match="'a'"):
        check_tag("a", 1)


def test_a_change_sets_replaces_and_removes() -> None:
    assert change({"a": "1", "c": "3"}, {"c": "4", "b": "2"}, ["a"]) == {"b": "2", "c": "4"}


def test_tags_are_sorted_by_key() -> None:
    assert list(change({"b": ""}, {"a": ""}, ())) == ["a", "b"]


def test_removing_what_is_not_there_is_refused_and_says_what_is() -> None:
    with pytest.raises(InvalidTag, match="there are: a, b"):
        change({"b": "", "a": ""}, {}, ["c"])
    with pytest.raises(InvalidTag, match="there are: none"):
        change({}, {}, ["c"])


def test_a_tag_is_not_set_and_removed_at_once() -> None:
    with pytest.raises(InvalidTag, match="at once"):
        change({"a": "1"}, {"a": "2"}, ["a"])


def test_a_version_has_a_bounded_number_of_tags() -> None:
    most = {f"k{number}": "" for number in range(MAX_TAGS)}

    assert len(change(most, {}, ())) == MAX_TAGS
    with pytest.raises(InvalidTag, match="at most"):
        change(most, {"more": ""}, ())


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([], True),
        (["a=1"], True),
        (["a"], True),
        (["a=2"], False),
        (["b"], False),
        (["a", "b"], False),
        (["a="], False),
    ],
)
def test_a_filter_wants_all_that_it_names(wanted: list[str], found: bool) -> None:
    assert matches({"a": "1"}, wanted) is found
