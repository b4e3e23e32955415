"""Which versions may be removed: none that anything needs, and never the highest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.document import parse
from gateway.core.lineage import Lineage, Parent, VersionName
from gateway.core.retention import fates, in_use


def line(*pairs: tuple[str, str], there: int = 6) -> Lineage:
    """Return versions 1 to *there* of ``m``, and others that *pairs*, child and parent, name."""
    parents: dict[VersionName, list[Parent]] = {VersionName("m", number + 1): [] for number in range(there)}
    for child, parent in pairs:
        parents.setdefault(name(child), []).append(Parent(name(parent)))
    return Lineage(parents)


def name(text: str) -> VersionName:
    model, _, version = text.partition("/")
    return VersionName(model, int(version))


def going(keep: int, used: dict[int, str] | None = None, lineage: Lineage | None = None) -> list[int]:
    found = fates("m", range(1, 7), keep=keep, used=used or {}, lineage=lineage or line())
    return [each.version for each in found if not each.stays]


def test_the_newest_stay() -> None:
    assert going(2) == [1, 2, 3, 4]
    assert going(6) == going(9) == []


def test_what_is_in_use_stays_and_says_why() -> None:
    found = fates("m", [1, 2, 3], keep=1, used={1: "a shadow", 9: "elsewhere"}, lineage=line(there=3))

    assert [(each.version, each.reason) for each in found] == [(1, "a shadow"), (2, ""), (3, "among the 1 newest")]


def test_what_a_version_that_stays_was_made_from_stays() -> None:
    assert going(1, lineage=line(("m/6", "m/4"), ("m/4", "m/2"), ("m/3", "m/1"))) == [1, 3, 5]
    assert going(1, {3: "the baseline"}, line(("m/3", "m/1"))) == [2, 4, 5]


def test_the_ancestor_of_another_model_s_version_stays() -> None:
    (found, *_) = fates("m", [1, 6], keep=1, used={}, lineage=line(("small/1", "m/1")))

    assert found.reason == "an ancestor of small/1"


def test_an_ancestor_that_is_gone_already_is_nobody_s_concern() -> None:
    assert going(1, lineage=line(("m/6", "m/9"), ("m/6", "small/1"))) == [1, 2, 3, 4, 5]


def test_keeping_none_would_use_a_number_twice() -> None:
    with pytest.raises(ValueError, match="no number is given twice"):
        fates("m", [1], keep=0, used={}, lineage=line())


@given(
    edges=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=12),
    used=st.sets(st.integers(1, 6)),
    keep=st.integers(1, 6),
)
def test_nothing_that_stays_has_an_ancestor_that_goes(edges: list[tuple[int, int]], used: set[int], keep: int) -> None:
    lineage = line(*((f"m/{child}", f"m/{parent}") for child, parent in edges))

    gone = set(going(keep, dict.fromkeys(used, "used"), lineage))

    staying = [VersionName("m", version) for version in range(1, 7) if version not in gone]
    assert not gone & {each.version for each in lineage.ancestors(staying)}
    assert not gone & used
    assert 6 not in gone


def test_everything_that_a_route_names_is_in_use_whatever_its_weight() -> None:
    route = parse(
        {
            "model": "m", "split": {"1": 1, "2": 0}, "baseline": "3", "shadow": {"4": 10}, "aliases": {"old": "5"},
            "rules": [{"when": {"header:x-tenant": ["acme"]}, "split": {"6": 1, "7": 0}}],
        }
    )  # fmt: skip

    assert in_use(route, [8]) == {
        1: "in the route's split", 2: "in the route's split", 3: "the route's baseline", 4: "a shadow of the route",
        5: "the alias old", 6: "in rule 1 of the route", 7: "in rule 1 of the route", 8: "in the last rollout",
    }  # fmt: skip


def test_without_a_route_only_a_rollout_needs_something() -> None:
    assert in_use(None, [2, 3]) == {2: "in the last rollout", 3: "in the last rollout"}
