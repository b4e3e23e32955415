"""What versions were made from: read from text, walked in both directions, and held to the rules when one is added."""

from __future__ import annotations

import pytest

from gateway.core.lineage import RELATIONS, InvalidLineage, Lineage, Parent, VersionName, read_name, read_parent


def lineage(**parents: str) -> Lineage:
    """Return a lineage of versions of one model ``m``: ``v3="1 2"`` has 3 come from 1 and 2."""
    return Lineage(
        {
            VersionName("m", int(child[1:])): tuple(Parent(VersionName("m", int(each))) for each in text.split())
            for child, text in parents.items()
        }
    )


def names(*versions: int) -> list[VersionName]:
    return [VersionName("m", version) for version in versions]


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_parent_is_a_version_and_how_it_is_one(relation: str) -> None:
    assert read_parent(f"fraud/3:{relation}") == Parent(VersionName("fraud", 3), relation)


def test_the_old_plain_form_has_no_relation() -> None:
    assert read_parent("fraud/3") == Parent(VersionName("fraud", 3), "")
    assert str(read_name("fraud/3")) == "fraud/3"


@pytest.mark.parametrize("text", ["fraud", "fraud/", "/3", "fraud/03", "fraud/x", "a b/3", "fraud/3/4", "stats/1", ""])
def test_what_names_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidLineage, match="write NAME/VERSION"):
        read_parent(text)


@pytest.mark.parametrize("text", ["fraud/3:", "fraud/3:copied-from"])
def test_an_unknown_relation_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(InvalidLineage, match="trained-from, fine-tuned-from, quantised-from, adapted-from"):
        read_parent(text)


def test_ancestors_are_found_the_nearest_first_and_once_each() -> None:
    diamond = lineage(v1="", v2="1", v3="1", v4="2 3", v5="4")

    assert diamond.ancestors(names(5)) == names(4, 2, 3, 1)
    assert diamond.ancestors(names(1)) == []


def test_descendants_are_the_other_way_round() -> None:
    diamond = lineage(v1="", v2="1", v3="1", v4="2 3", v5="4")

    assert diamond.descendants(names(1)) == names(2, 3, 4, 5)
    assert diamond.descendants(names(5)) == []


def test_an_ancestor_that_was_deleted_is_still_named() -> None:
    assert lineage(v2="1").ancestors(names(2)) == names(1)


def test_a_ring_that_somebody_wrote_by_hand_ends_the_walk() -> None:
    ring = lineage(v1="2", v2="1")

    assert ring.ancestors(names(1)) == names(2, 1)
    assert ring.descendants(names(1)) == names(2, 1)


def test_a_long_line_is_walked_without_depth() -> None:
    line = lineage(v1="", **{f"v{number}": str(number - 1) for number in range(2, 5000)})

    assert len(line.ancestors(names(4999))) == 4998


def test_a_new_version_may_come_from_any_that_is_there() -> None:
    lineage(v1="", v2="1").check_new(VersionName("m", 3), [Parent(VersionName("m", 1)), Parent(VersionName("m", 2))])


def test_a_new_version_cannot_come_from_one_that_is_not_there() -> None:
    with pytest.raises(InvalidLineage, match="parent m/7 is not there"):
        lineage(v1="").check_new(VersionName("m", 2), [Parent(VersionName("m", 7))])


def test_a_new_version_cannot_come_from_its_own_child() -> None:
    with pytest.raises(InvalidLineage, match="m/3 cannot come from m/2, which comes from m/3"):
        lineage(v1="3", v2="1").check_new(VersionName("m", 3), [Parent(VersionName("m", 2))])
