"""The candidates of one rollout: how many there may be, and which of them are out while the others go on.

Each is compared with the baseline and with nothing else, so one that leaves changes nothing for the others. The last
one never leaves: what becomes of it is what becomes of the rollout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.errors import InvalidDocument
from gateway.core.evidence import Arms
from gateway.core.members import at
from gateway.core.quantities import written_percent
from gateway.core.slots import SLOTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.plan import Step

MAX_CANDIDATES: Final = 8
"""Each of m has an m-th of alpha, and of the traffic: with more of them hardly one would ever be certified."""


class Left(NamedTuple):
    """Why a candidate is out of a rollout that goes on: its guards took it back, or another one was promoted."""

    failed: bool
    reason: str


def check_candidates(candidates: tuple[int, ...], baseline: int) -> tuple[int, ...]:
    """Return *candidates*, ascending, if each can be compared with *baseline*. Raises InvalidDocument."""
    if not 1 <= len(candidates) <= MAX_CANDIDATES:
        raise InvalidDocument("", f"{len(candidates)} candidates cannot be compared; name 1 to {MAX_CANDIDATES}")
    for version in candidates:
        Arms(version, baseline)
    if len({*candidates}) < len(candidates):
        raise InvalidDocument("", "names a version twice; name each candidate once")
    return tuple(sorted(candidates))


def check_steps(steps: Sequence[Step], candidates: tuple[int, ...]) -> None:
    """Refuse *steps* that do not name exactly *candidates*, where they name any, or have not room for all."""
    for index, step in enumerate(steps):
        with at("steps"), at(f"[{index}]"), at("weight"):
            if step.versions and step.versions != candidates:
                named, there = (", ".join(map(str, each)) for each in (step.versions, candidates))
                reason = f"names {named}, and the candidates are {there}; name each, or write one number for all"
                raise InvalidDocument("", reason)
            together = sum(map(step.of, candidates))
            if together > SLOTS:
                percent = written_percent(together / SLOTS)
                reason = f"is {percent} for {len(candidates)} candidates together; write less for each"
                raise InvalidDocument("", reason)


def check_left(left: Mapping[int, Left], candidates: tuple[int, ...], *, is_chosen: bool) -> None:
    """Refuse *left* unless some of *candidates* are not in it: exactly one where *is_chosen*, as from a bake on."""
    for version in left:
        if version not in candidates:
            raise InvalidDocument("", f"version {version} is no candidate, so it cannot have left; remove it")
    live = len(candidates) - len(left)
    if not live:
        raise InvalidDocument("", "names all candidates; the last one ends the rollout and never leaves it")
    if is_chosen and live > 1:
        raise InvalidDocument("", f"leaves {live} candidates after the steps; from there on one goes on alone")


def unchosen(live: tuple[int, ...]) -> str:
    """Return what is missing, and how to give it, where one of the candidates *live* has to be chosen."""
    return f" without a choice of version {' or '.join(map(str, live))}: promote one of them by --version"
