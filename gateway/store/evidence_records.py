"""What a rollout counted ↔ the words of the store's scripts; and what nobody may send there.

A flush is refused here before it is sent, so that nothing that ``core.evidence`` could not read back ever
lies in the store, and no single call holds the server up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.errors import CorruptRoute, InvalidDocument
from gateway.core.evidence import Counter, read_counter, read_slots
from gateway.ports.evidence import DELTA_FIELDS, DELTA_POINTS
from gateway.store.keys import SEEN_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.ports.evidence import Deltas
    from gateway.ports.routes import Fence

ROLLOUT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
WORKER: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)

DELTA_MOST: Final = 10**9
"""The most that one flush adds to one counter."""

SEQ_MOST: Final = 10**15 - 1
"""So many that Lua still counts them exactly."""

POINTS: Final = 1 << 64


def check_rollout(rollout: str) -> None:
    """Raise InvalidDocument for an id that cannot be part of a key."""
    if ROLLOUT.fullmatch(rollout) is None:
        raise InvalidDocument("rollout.id", f"{rollout!r} is no id; it has 1 to 64 letters, digits, '.', '_' and '-'")


def check_fence(fence: Fence | None) -> None:
    """Raise InvalidDocument for a fence that could not be read back."""
    if fence is not None:
        check_rollout(fence.rollout)
        read_slots("slots", fence.slots)


def check_name(name: str) -> None:
    """Raise ValueError for a worker or a holder without a plain name."""
    if WORKER.fullmatch(name) is None:
        raise ValueError(f"a worker's name is 1 to 128 printable ASCII characters without blanks, not {name!r}")


def check_seq(seq: int) -> None:
    """Raise ValueError for a number that no flush can have."""
    if not 1 <= seq <= SEQ_MOST:
        raise ValueError(f"flushes are numbered from 1 to {SEQ_MOST}, not {seq}")


def counters_of(deltas: Deltas) -> tuple[Counter, ...]:
    """Return the counters that *deltas* add to, those of its sightings last.

    Raises InvalidDocument for a field that names none, a number that cannot be added, and for too much of anything.
    """
    fields = len(deltas.counts) + len(deltas.sightings)
    points = sum(len(sighted) for _, sighted in deltas.sightings)
    if fields > DELTA_FIELDS or points > DELTA_POINTS:
        raise InvalidDocument(
            "", f"a flush has {fields} fields and {points} points; {DELTA_FIELDS} and {DELTA_POINTS} are the most"
        )
    for name, count in deltas.counts.items():
        if type(count) is not int or not 0 <= count <= DELTA_MOST:
            raise InvalidDocument(name, f"{count!r} cannot be added; a flush adds 0 to {DELTA_MOST}")
    return (*map(read_counter, deltas.counts), *(_sighted(name, sighted) for name, sighted in deltas.sightings))


def _sighted(name: str, points: Iterable[int]) -> Counter:
    counter = read_counter(name)
    if counter.kind not in SEEN_KINDS:
        raise InvalidDocument(name, f"{counter.kind} is not counted by key; those are {', '.join(SEEN_KINDS)}")
    for point in points:
        if type(point) is not int or not 0 <= point < POINTS:
            raise InvalidDocument(name, f"{point!r} is no point; it is a whole number below 2^64")
    return counter


def totals_of(model: str, words: Iterable[bytes]) -> dict[str, str]:
    """Return field → value of the evidence hash, whose fields and values alternate in *words*; without ``seq|…``.

    Raises CorruptRoute for what is no text; whether it is evidence says ``core.evidence.read_evidence``.
    """
    try:
        texts = iter([word.decode("ascii") for word in words])
    except UnicodeDecodeError as exc:
        raise corrupt_evidence(model, "it holds a field that is no text") from exc
    return {name: value for name, value in zip(texts, texts, strict=True) if not name.startswith("seq|")}


def refusal(model: str, reply: Sequence[bytes]) -> CorruptRoute:
    """Return what a script's *reply* stands for: ``corrupt``, the reason, and what was found instead."""
    reason, found = reply[1].decode(), reply[2].decode("ascii", "replace")
    if reason == "evidence":
        return corrupt_evidence(model, f"found {found}")
    return CorruptRoute(model, reason, f"the key holds a {found}")


def corrupt_evidence(model: str, detail: str) -> CorruptRoute:
    """Return the refusal of evidence that cannot be read."""
    return CorruptRoute(
        model, "evidence", f"what its rollout counted cannot be read: {detail}; abort the rollout and start it anew"
    )
