"""Who sits where under a route: one table for its split, and one for each rule's.

A seating is made with a route and stored beside it, because it depends on the routes that came before: each change
moves the fewest units away from where they are. The tables are kept apart, so changing a rule's split moves nobody who
is under another rule or under none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, shown
from gateway.core.slots import SLOTS, count, reseat, seat, seats

if TYPE_CHECKING:
    from gateway.core.document import RouteDocument
    from gateway.core.slots import Run, Stacks


@dataclass(frozen=True, slots=True)
class Seating:
    """The stacks of a route's *split*, and of the split of each of its *rules* by the rule's key.

    Every table owns every position exactly once; one that does not cannot be built.
    """

    split: Stacks
    rules: Mapping[str, Stacks]

    def __post_init__(self) -> None:
        with at("split"):
            _check_complete(self.split)
        for key, stacks in self.rules.items():
            with at("rules"), at(key):
                _check_complete(stacks)
        object.__setattr__(self, "split", MappingProxyType(dict(self.split)))
        object.__setattr__(
            self, "rules", MappingProxyType({key: MappingProxyType(dict(stacks)) for key, stacks in self.rules.items()})
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the seating as the store holds it: runs as pairs, versions as text."""
        return {"split": _written(self.split), "rules": {key: _written(stacks) for key, stacks in self.rules.items()}}


def seat_route(document: RouteDocument) -> Seating:
    """Return the seating of a route that has none before it."""
    return Seating(seat(document.split), {rule.key: seat(rule.split) for rule in document.rules})


def reseat_route(old: RouteDocument, seating: Seating, new: RouteDocument) -> Seating:
    """Return the seating of *new*, which replaces *old* that was seated by *seating*.

    Moves the fewest positions of the split and of every rule whose ``when`` was there before. Another salt assigns
    everybody anew, so then nothing of *seating* is worth keeping.
    """
    if new.assign.salt != old.assign.salt:
        return seat_route(new)
    rules = {
        rule.key: reseat(seating.rules[rule.key], rule.split) if rule.key in seating.rules else seat(rule.split)
        for rule in new.rules
    }
    return Seating(reseat(seating.split, new.split), rules)


def parse(data: object, document: RouteDocument) -> Seating:
    """Return the seating of *document* that *data*, read from JSON, describes.

    Raises InvalidDocument for a table that is not complete, or that does not give each version its seats.
    """
    if not isinstance(data, Mapping) or data.keys() != {"split", "rules"} or not isinstance(data["rules"], Mapping):
        raise InvalidDocument("", "is no seating; it has the members split and rules")
    keys = {rule.key for rule in document.rules}
    if data["rules"].keys() != keys:
        raise InvalidDocument("rules", "are not the rules of the route")
    with at("split"):
        split = _read(data["split"], document.split)
    rules = {}
    for rule in document.rules:
        with at("rules"), at(rule.key):
            rules[rule.key] = _read(data["rules"][rule.key], rule.split)
    return Seating(split, rules)


def _written(stacks: Stacks) -> dict[str, list[list[int]]]:
    return {str(version): [list(run) for run in runs] for version, runs in stacks.items()}


def _read(data: object, split: Mapping[int, int]) -> Stacks:
    """Return the stacks that *data* describes if each version of *split* has its number of seats in them."""
    if not isinstance(data, Mapping) or data.keys() != {str(version) for version in split}:
        raise InvalidDocument("", "does not seat the versions of its split")
    stacks = {}
    for version, due in seats(split).items():
        with at(str(version)):
            stacks[version] = _read_runs(data[str(version)])
            owned = count(stacks[version])
            if owned != due:
                raise InvalidDocument("", f"owns {owned} positions; its weight gives it {due}")
    return stacks


def _read_runs(data: object) -> tuple[Run, ...]:
    if not isinstance(data, list):
        raise InvalidDocument("", f"{shown(data)} is no list of runs")
    return tuple(_read_run(run) for run in data)


def _read_run(data: object) -> Run:
    if not isinstance(data, list) or len(data) != 2 or not all(_is_position(end) for end in data):
        raise InvalidDocument("", f"{shown(data)} is no run of positions from 0 to {SLOTS - 1}")
    return data[0], data[1]


def _is_position(data: object) -> bool:
    return type(data) is int and 0 <= data < SLOTS


def _check_complete(stacks: Stacks) -> None:
    """Refuse a table in which a position has no owner or several."""
    expected = 0
    for first, last in sorted((min(run), max(run)) for runs in stacks.values() for run in runs):
        if first != expected:
            break
        expected = last + 1
    else:
        if expected == SLOTS:
            return
    raise InvalidDocument("", f"does not own each of the {SLOTS} positions exactly once")
