"""The history of a model as a chain: who did what, and whether somebody rewrote it.

Each entry holds the digest of the one before it, so an entry that is changed, taken out or put in shows at its
neighbour. There is no key: whoever can write to the store can forge the whole chain from some entry on. Against
that helps a digest that was noted elsewhere, which `follow` looks for.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

GENESIS: Final = "0" * 64
"""What the first entry of a chain holds for the digest of the one before it."""

MEMBERS: Final = (
    "id",
    "at_ms",
    "revision",
    "who",
    "address",
    "reason",
    "action",
    "version",
    "before",
    "after",
    "previous",
)
"""What an entry says, and its digest covers. What an entry has not is left out, so a later release may add members."""


class Actor(str):
    """The name of whoever changes something, which knows the *address* it came from, empty where there is none.

    It is text, so that whatever takes a name takes it; only the audit entry asks for the rest.
    """

    __slots__ = ("address",)
    address: str

    def __new__(cls, name: str, address: str = "") -> Actor:
        actor = super().__new__(cls, name)
        actor.address = address
        return actor


def address_of(who: str) -> str:
    """Return the address that *who* came from; empty for the gateway itself and its files."""
    return who.address if isinstance(who, Actor) else ""


class Entry(Protocol):
    """An entry of a history, with an attribute for each of MEMBERS, as far as they are needed here."""

    @property
    def id(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def previous(self) -> str: ...


def members_of(entry: Entry) -> dict[str, Any]:
    """Return what *entry* says, by MEMBERS."""
    return {name: getattr(entry, name) for name in MEMBERS}


def link_of(entry: Entry) -> Link:
    """Return what the chain needs of *entry*."""
    return Link(entry.id, entry.revision, entry.previous, entry_digest(members_of(entry)))


def entry_digest(entry: Mapping[str, Any]) -> str:
    """Return the SHA-256, hexadecimal, of what an *entry* says under MEMBERS; other members do not count.

    What is hashed is JSON with sorted names, no blanks and ASCII only, so that anybody can do it again.
    """
    said = {name: entry[name] for name in MEMBERS if entry.get(name) not in (None, "")}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Link:
    """What the chain needs of an entry: its own *digest*, and the one it holds, empty before there was a chain."""

    id: str
    revision: int
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the history is not what was written. *id* and *revision* are of the entry that shows it."""

    id: str
    revision: int
    why: str


@dataclass(frozen=True, slots=True)
class Chain:
    """What a walk along a history found.

    *entries* in all, of which *linked* hold the digest of the one before. *head* is the newest one's digest, empty
    without entries: noted elsewhere, it shows later that nothing before it was rewritten. *is_whole*: the history
    reaches back to where the chain begins; older entries are dropped in time, and that is no break. *gaps*: entries as
    a release from before there was a chain writes them beside one that links, which an upgrade in turns leaves behind.
    Nothing but its number then holds the entry before: see ``_is_next``.
    """

    entries: int
    linked: int
    head: str
    is_whole: bool
    breaks: tuple[Break, ...]
    gaps: tuple[Break, ...]


def follow(newest_first: Iterable[Link], noted: str = "") -> Chain:
    """Walk along a history, the newest entry first, and return what was found.

    *noted* is a digest that some entry must still have, empty for none. Whoever noted it had the chain, so what came
    after it without a digest is a break, and no gap.
    """
    walk = _Walk(noted)
    digests = {link.digest for link in walk.along(newest_first)}
    breaks = walk.breaks
    if noted and noted not in digests:
        breaks.append(
            Break("", 0, f"no entry has the digest {noted[:64]}: what it was noted from is gone or rewritten")
        )
    return Chain(walk.entries, walk.linked, walk.head, walk.is_whole, tuple(breaks), tuple(walk.gaps))


class _Walk:
    """One walk along a history."""

    def __init__(self, noted: str) -> None:
        self.entries = self.linked = 0
        self.head = ""
        self.is_whole = True
        self.breaks: list[Break] = []
        self.gaps: list[Break] = []
        self._newer: Link | None = None
        self._noted = noted

    def along(self, newest_first: Iterable[Link]) -> Iterator[Link]:
        for link in newest_first:
            if self._newer is not None:
                self._compare(self._newer, link)
            if link.digest == self._noted:
                self._noted = ""
            self.head = self.head or link.digest
            self.entries += 1
            self.linked += bool(link.previous)
            self._newer = link
            yield link
        oldest = self._newer
        self.is_whole = oldest is None or oldest.previous in {"", GENESIS}

    def _compare(self, newer: Link, older: Link) -> None:
        if newer.previous == older.digest:
            return
        if newer.previous == GENESIS:
            why = "it begins a chain anew, and there are entries before it"
        elif newer.previous:
            why = "the entry before it was changed, or one between them was taken out or put in"
        elif older.previous and (self._noted or not _is_next(newer, older)):
            why = "it holds no digest, and the entry before it does: it was not written by this gateway"
        elif older.previous:
            why = "it holds no digest: a release before 0.4.0 wrote it, or somebody past the gateway"
            self.gaps.append(Break(newer.id, newer.revision, why))
            return
        else:
            return  # both are from before there was a chain
        self.breaks.append(Break(newer.id, newer.revision, why))


def _is_next(newer: Link, older: Link) -> bool:
    """Say whether no change can lie between the two: each raises the revision by one, or begins anew at 1.

    An order to load or unload keeps the revision, and is 0 where there is no route.
    """
    return newer.revision <= 1 or newer.revision - older.revision in {0, 1}
