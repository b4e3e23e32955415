"""A history that was rewritten shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.audit import GENESIS, MEMBERS, Actor, address_of, entry_digest, follow, link_of, members_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.audit import Chain


@dataclass(frozen=True)
class Said:
    """An entry as a store keeps it."""

    revision: int
    id: str = ""
    at_ms: int = 0
    who: str = "ada"
    address: str = "10.0.0.7"
    reason: str = ""
    action: str = "route"
    version: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = field(default_factory=lambda: {"split": {"1": 1}})
    previous: str = ""


def history(count: int, old: int = 0) -> list[Said]:
    """Return *count* entries, newest first; the oldest *old* of them are from before there was a chain."""
    entries: list[Said] = []
    for number in range(1, count + 1):
        previous = entry_digest(members_of(entries[-1])) if entries else GENESIS
        entries.append(Said(number, f"{number}-0", number, previous="" if number <= old else previous))
    return entries[::-1]


def walk(entries: Sequence[Said], noted: str = "") -> Chain:
    return follow((link_of(each) for each in entries), noted)


def test_a_chain_that_nobody_touched_has_no_break() -> None:
    chain = walk(entries := history(5))

    assert (chain.entries, chain.linked, chain.is_whole, chain.breaks) == (5, 5, True, ())
    assert chain.head == link_of(entries[0]).digest


def test_no_history_is_a_chain_too() -> None:
    chain = walk([])

    assert (chain.entries, chain.head, chain.is_whole, chain.breaks) == (0, "", True, ())


def test_entries_from_before_there_was_a_chain_are_no_break_and_held_by_the_first_that_is_linked() -> None:
    entries = history(5, old=3)

    chain = walk(entries)
    forged = walk([*entries[:2], replace(entries[2], who="eve"), *entries[3:]])

    assert (chain.linked, chain.is_whole, chain.breaks) == (2, True, ())
    assert [each.revision for each in forged.breaks] == [4]


def test_a_history_whose_oldest_entries_were_dropped_in_time_is_not_whole_and_not_broken() -> None:
    chain = walk(history(5)[:3])

    assert (chain.is_whole, chain.breaks) == (False, ())


@pytest.mark.parametrize("member", [name for name in MEMBERS if name not in {"previous", "id"}])
def test_a_change_of_any_member_shows_at_the_entry_after(member: str) -> None:
    entries = history(4)
    other: Any = {"forged": 1} if member in {"before", "after"} else 99 if member in {"at_ms", "revision"} else "eve"
    entries[2] = replace(entries[2], **{member: other})

    assert [each.revision for each in walk(entries).breaks] == [3]


@pytest.mark.parametrize(
    ("tamper", "shown"),
    [
        (lambda e: [e[0], *e[2:]], [4]),
        (lambda e: [e[1], e[0], *e[2:]], [3, 4]),
        (lambda e: [e[0], Said(9, "9-0"), *e[1:]], [4, 9]),
        (lambda e: [replace(e[0], previous=GENESIS), *e[1:]], [4]),
        (lambda e: [Said(9, "9-0"), *e], [9]),
    ],
    ids=["taken out", "swapped", "put in", "begun anew", "put in front"],
)
def test_what_is_taken_out_or_put_in_shows(tamper: Callable[[list[Said]], list[Said]], shown: list[int]) -> None:
    chain = walk(tamper(history(4)))

    assert sorted(each.revision for each in chain.breaks) == sorted(shown)
    assert all(each.why for each in chain.breaks)


def beside_an_old_release(revisions: Sequence[int]) -> list[Said]:
    """Return five entries, newest first, of these *revisions*; a release without the chain wrote the third."""
    entries: list[Said] = []
    for number, revision in enumerate(revisions, start=1):
        previous = entry_digest(members_of(entries[-1])) if entries else GENESIS
        entries.append(Said(revision, f"{number}-0", number, previous="" if number == 3 else previous))
    return entries[::-1]


@pytest.mark.parametrize("revisions", [(1, 2, 3, 4, 5), (1, 2, 2, 3, 4), (1, 2, 1, 2, 3), (1, 2, 0, 1, 2)])
def test_an_entry_of_a_release_without_the_chain_is_a_gap_and_held_by_the_next(revisions: tuple[int, ...]) -> None:
    entries = beside_an_old_release(revisions)

    chain = walk(entries)
    forged = walk([*entries[:2], replace(entries[2], who="eve"), *entries[3:]])

    assert (chain.linked, chain.is_whole, chain.breaks) == (4, True, ())
    assert [each.id for each in chain.gaps] == ["3-0"]
    assert [each.id for each in forged.breaks] == ["4-0"]


def test_a_gap_hides_no_entry_that_was_taken_out() -> None:
    entries = beside_an_old_release((1, 2, 3, 4, 5))

    chain = walk([*entries[:3], *entries[4:]])

    assert ([each.id for each in chain.breaks], chain.gaps) == (["3-0"], ())


def test_what_lacks_a_digest_after_the_noted_head_is_a_break_and_no_gap() -> None:
    entries = beside_an_old_release((1, 2, 3, 4, 5))
    noted = {number: link_of(entries[5 - number]).digest for number in (2, 3, 5)}

    assert [each.id for each in walk(entries, noted[2]).breaks] == ["3-0"]
    assert [walk(entries, noted[number]).breaks for number in (3, 5)] == [(), ()]
    assert [len(walk(entries, noted[number]).gaps) for number in (2, 3, 5)] == [0, 1, 1]


def test_a_forged_end_is_found_by_a_digest_that_was_noted_elsewhere() -> None:
    entries = history(4)
    noted = walk(entries).head

    later = walk([Said(5, "5-0", 5, previous=noted), *entries], noted)
    forged = walk([replace(entries[0], who="eve"), *entries[1:]], noted)
    cut = walk(entries[1:], noted)

    assert later.breaks == ()
    assert [len(each.breaks) for each in (forged, cut)] == [1, 1]
    assert noted in forged.breaks[0].why


def test_a_digest_is_over_what_is_exported_and_nothing_else() -> None:
    (entry,) = history(1)
    line = {**members_of(entry), "digest": "x", "more": 1}

    assert entry_digest(json.loads(json.dumps(line))) == link_of(entry).digest


def test_a_member_that_an_entry_has_not_changes_no_digest() -> None:
    assert entry_digest({"who": "ada", "address": ""}) == entry_digest({"who": "ada", "before": None})


def test_the_digest_of_an_entry_is_pinned() -> None:
    # Another digest would break the chain of every history that was written before.
    (entry,) = history(1)

    assert entry_digest(members_of(entry)) == "316493997f2821a898e3821fea58cd2a6611733433cf33f390772436ab53cac5"


def test_an_actor_is_its_name_and_knows_where_it_came_from() -> None:
    actor = Actor("ada", "10.0.0.7")

    assert actor == "ada"
    assert json.dumps(actor) == '"ada"'
    assert address_of(actor) == "10.0.0.7"
    assert address_of("the gateway itself") == ""
