"""Who gets which version: 10,000 slots, and the fewest of them moved when weights change.

A unit (a user's key, or one request) hashes or draws a 64-bit point, a point falls into a slot, and every slot belongs
to one version. Versions do not own slots directly: they own stacks of *positions* in an order of the slots that the
salt shuffles. A version that shrinks gives back what it took last, so a user who is on a growing canary stays there,
and undoing what moved between two versions returns exactly the users that moved.

Pure: the caller brings salt, key and weights. Nothing here uses ``hash()``, which Python seeds anew in each process.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Run = tuple[int, int]
    """Positions from the first to the second, both included; it may descend."""

    Stacks = Mapping[int, tuple[Run, ...]]
    """Version → the positions it owns, first acquired first. A version without seats has no runs."""

SLOTS: Final = 10_000
SEPARATOR: Final = b"\x1f"
"""Stands between salt and key. No salt may hold it, so no two pairs of salt and key hash the same bytes."""


def key_prefix(salt: str) -> bytes:
    """Return what is hashed before every key under *salt*."""
    return salt.encode() + SEPARATOR


def hash_point(data: bytes) -> int:
    """Return the first 8 bytes of the SHA-256 of *data*, big-endian: an integer in [0, 2**64)."""
    return int.from_bytes(sha256(data).digest()[:8], "big")


def point(salt: str, key: bytes) -> int:
    """Return the point of *key* under *salt*: an integer in [0, 2**64), the same in every process and release."""
    return hash_point(key_prefix(salt) + key)


def slot_of(point: int) -> int:
    """Return the slot in [0, SLOTS) into which *point*, an integer in [0, 2**64), falls.

    Source: multiply-shift range reduction, Lemire, "Fast Random Integer Generation in an Interval",
    TOMACS 29(1), 2019, doi:10.1145/3230636.
    """
    return point * SLOTS >> 64


@lru_cache(maxsize=16)
def order(salt: str) -> tuple[int, ...]:
    """Return all slots, shuffled by *salt*: position → slot. About 10 ms, remembered for the salts used last.

    Sorted by (first 8 bytes of SHA-256 of ``salt 0x1F "slot" 0x1F decimal``, slot). The shuffle makes the units that a
    canary takes independent of the neighbours in slot space, hence of every other salt's canary.
    """
    prefix = key_prefix(salt) + b"slot" + SEPARATOR
    keys = [sha256(prefix + b"%d" % slot).digest()[:8] for slot in range(SLOTS)]
    return tuple(sorted(range(SLOTS), key=keys.__getitem__))  # a stable sort: equal keys stay in order of slot


def seats(split: Mapping[int, int]) -> dict[int, int]:
    """Return how many of the SLOTS each version of *split* (version → weight, positive sum) gets.

    Largest remainder, ties to the lower version number. A weight above 0 gets at least one seat, taken from the
    version that has most (ties: the lower number); a weight of 0 gets none.
    """
    total = sum(split.values())
    got = {version: weight * SLOTS // total for version, weight in sorted(split.items())}
    by_remainder = sorted(got, key=lambda version: (-(split[version] * SLOTS % total), version))
    for version in by_remainder[: SLOTS - sum(got.values())]:
        got[version] += 1

    for version, weight in split.items():
        if weight > 0 and got[version] == 0:
            got[min(got, key=lambda rich: (-got[rich], rich))] -= 1
            got[version] = 1
    return got


def seat(split: Mapping[int, int]) -> Stacks:
    """Return a new seating of *split*: versions, ascending, take the next positions."""
    stacks: dict[int, tuple[Run, ...]] = {}
    first = 0
    for version, due in seats(split).items():
        stacks[version] = ((first, first + due - 1),) if due else ()
        first += due
    return stacks


def reseat(stacks: Stacks, split: Mapping[int, int]) -> Stacks:
    """Return the seating of *split* that moves the fewest positions away from *stacks*: half the sum of all changes.

    Versions that shrink, ascending, pop what they acquired last into a queue; versions that grow, ascending, take from
    its front. A version that *split* no longer names gives back all it has.
    """
    wanted = seats(split)
    owned = {version: list(stacks.get(version, ())) for version in sorted(stacks.keys() | wanted.keys())}
    freed: list[Run] = []
    for version, runs in owned.items():
        freed += _pop(runs, max(0, count(runs) - wanted.get(version, 0)))

    freed.reverse()  # a list is popped at its end: the queue's front
    for version, want in wanted.items():
        _push(owned[version], freed, want - count(owned[version]))
    return {version: tuple(owned[version]) for version in wanted}


def count(runs: Iterable[Run]) -> int:
    """Return how many positions *runs* hold."""
    return sum(abs(last - first) + 1 for first, last in runs)


def positions(runs: Sequence[Run]) -> list[int]:
    """Return the positions of *runs*, first acquired first."""
    return list(chain.from_iterable(_span(first, last) for first, last in runs))


def owners(stacks: Stacks, salt: str) -> tuple[tuple[int, ...], bytes]:
    """Return the versions that have seats, ascending, and for each of the SLOTS the index of its owner among them.

    At most 255 versions have seats. Where there is only one, no permutation is computed: it owns every slot.
    """
    versions = tuple(sorted(version for version, runs in stacks.items() if runs))
    table = bytearray(SLOTS)
    if len(versions) > 1:
        slots = order(salt)
        for index, version in enumerate(versions[1:], start=1):
            for position in positions(stacks[version]):
                table[slots[position]] = index
    return versions, bytes(table)


def _span(first: int, last: int) -> range:
    return range(first, last + 1) if first <= last else range(first, last - 1, -1)


def _pop(runs: list[Run], wanted: int) -> list[Run]:
    """Take the last *wanted* positions off *runs*, and return them, last acquired first."""
    popped = []
    while wanted > 0:
        first, last = runs.pop()
        taken = _span(last, first)[:wanted]
        if taken[-1] != first:
            runs.append((first, _span(last, first)[wanted]))
        popped.append((last, taken[-1]))
        wanted -= len(taken)
    return popped


def _push(runs: list[Run], freed: list[Run], wanted: int) -> None:
    """Move *wanted* positions from the end of *freed*, whose last run is the front of a queue, on top of *runs*.

    Runs that continue each other are joined, so equal stacks are equal values, whatever led to them.
    """
    while wanted > 0:
        first, last = freed.pop()
        taken = _span(first, last)[:wanted]
        if taken[-1] != last:
            freed.append((_span(first, last)[wanted], last))
        if runs and _continues(runs[-1], first):
            runs[-1] = (runs[-1][0], taken[-1])
        else:
            runs.append((first, taken[-1]))
        wanted -= len(taken)


def _continues(run: Run, position: int) -> bool:
    first, last = run
    step = position - last
    return step == 1 if last > first else step == -1 if last < first else step in {1, -1}
