"""How labels may move a route's weights: the member ``optimize`` of its document, as a value.

A split that gives one of the versions less than the floor cannot be written beside it, so no write, whoever makes it,
takes a version below. What the labels ask for is decided in ``bandit``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.experiment import METRICS
from gateway.core.members import at, check_choice, members_of, shown
from gateway.core.quantities import check_seconds, seconds_of, slots_of, written_seconds, written_slots
from gateway.core.slots import SLOTS, seats
from gateway.core.splits import version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMBERS: Final = ("by", "versions", "floor", "step", "every", "min_labels", "half_life")

FLOOR: Final = 5 * SLOTS // 100
STEP: Final = 10 * SLOTS // 100
LEAST_STEP: Final = SLOTS // 100
"""Smaller moves are not made: history would be full of them."""
EVERY_SECONDS: Final = 60
LEAST_EVERY_SECONDS: Final = 5
MIN_LABELS: Final = 100
LEAST_MIN_LABELS: Final = 10
MOST_MIN_LABELS: Final = 1_000_000_000
MOST_VERSIONS: Final = 10
HOUR_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Optimize:
    """Weights follow the labels: one of METRICS is what they are moved *by*.

    versions: that share the split, ascending; empty for all that it gives weight. floor, step: slots that each of them
    keeps, and by which each may change at once. every_seconds: between two looks. min_labels: of each version, before
    the first move. half_life_seconds: whole hours after which a label counts half; None for ever the same.
    """

    by: str
    versions: tuple[int, ...] = ()
    floor: int = FLOOR
    step: int = STEP
    every_seconds: int = EVERY_SECONDS
    min_labels: int = MIN_LABELS
    half_life_seconds: int | None = None

    def __post_init__(self) -> None:
        with at("by"):
            check_choice(self.by, METRICS)
        with at("step"):
            if self.step < LEAST_STEP:
                raise InvalidDocument("", f"{written_slots(self.step)} percent is no move; write 1% or more")
        with at("every"):
            if check_seconds(self.every_seconds) < LEAST_EVERY_SECONDS:
                raise InvalidDocument("", f"{self.every_seconds} s is too often; write {LEAST_EVERY_SECONDS}s or more")
        with at("min_labels"):
            if type(self.min_labels) is not int or not LEAST_MIN_LABELS <= self.min_labels <= MOST_MIN_LABELS:
                reason = f"{shown(self.min_labels)} is no number of labels; write {LEAST_MIN_LABELS} or more"
                raise InvalidDocument("", reason)
        with at("half_life"):
            if self.half_life_seconds is not None and check_seconds(self.half_life_seconds) % HOUR_SECONDS:
                raise InvalidDocument("", f"{self.half_life_seconds} s are no whole hours; write such as 24h")

    def arms(self, split: Mapping[int, int]) -> tuple[int, ...]:
        """Return the versions that share *split*, ascending."""
        return self.versions or tuple(sorted(version for version, weight in split.items() if weight))

    def check(self, split: Mapping[int, int]) -> None:
        """Raise InvalidDocument unless *split* is that of these versions, each with the floor at least."""
        arms = self.arms(split)
        if not 2 <= len(arms) <= MOST_VERSIONS:
            reason = f"{len(arms)} of them share the split; let it give weight to 2 to {MOST_VERSIONS} versions"
            raise InvalidDocument("versions", reason)
        due = seats(split)
        for version, slots in due.items():
            if slots and version not in arms:
                raise InvalidDocument("versions", f"lack version {version}, to which the split gives weight; add it")
        for version in arms:
            if due.get(version, 0) < self.floor:
                raise InvalidDocument(
                    "floor", f"is {written_slots(self.floor)} percent of the split, and version {version} has "
                    f"{written_slots(due[version]) if due.get(version) else 0}; give it as much, or lower the floor",
                )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        optional: dict[str, Any] = {}
        if self.versions:
            optional["versions"] = [str(version) for version in self.versions]
        if self.half_life_seconds is not None:
            optional["half_life"] = written_seconds(self.half_life_seconds)
        return {
            "by": self.by,
            "floor": f"{written_slots(self.floor)}".removesuffix("%") + "%",
            "step": f"{written_slots(self.step)}".removesuffix("%") + "%",
            "every": written_seconds(self.every_seconds),
            "min_labels": self.min_labels,
            **optional,
        }


def read_optimize(data: object) -> Optimize:
    """Return what the member ``optimize`` says. Raises InvalidDocument with the culprit's path."""
    members = members_of(data, MEMBERS, needed=("by",), what="optimize")
    with at("by"):
        if not isinstance(members["by"], str):
            raise InvalidDocument("", f"{shown(members['by'])} is not known; write one of {', '.join(METRICS)}")
    with at("versions"):
        versions = _versions(members.get("versions"))
    found: dict[str, int] = {}
    for name, default in (("floor", FLOOR), ("step", STEP)):
        with at(name):
            found[name] = slots_of(members[name]) if name in members else default
    with at("every"):
        every = seconds_of(members["every"]) if "every" in members else EVERY_SECONDS
    with at("half_life"):
        half_life = seconds_of(members["half_life"]) if "half_life" in members else None
    return Optimize(
        members["by"], versions, found["floor"], found["step"], every, members.get("min_labels", MIN_LABELS), half_life
    )


def _versions(data: object) -> tuple[int, ...]:
    if data is None:
        return ()
    if not isinstance(data, list):
        raise InvalidDocument("", f'{shown(data)} is no list of versions; write such as ["1", "2"]')
    found = []
    for index, each in enumerate(data):
        with at(f"[{index}]"):
            found.append(version_of(each))
    if len(set(found)) != len(found) or not found:
        raise InvalidDocument("", "write each version once, two at least")
    return tuple(sorted(found))
