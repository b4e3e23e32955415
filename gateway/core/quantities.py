"""Percents and durations, as a document writes them: ``0.5%``, ``60s``, ``5m``, ``1h``."""

from __future__ import annotations

import re
from decimal import Decimal
from math import inf
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, shown, step_of
from gateway.core.slots import SLOTS
from gateway.core.splits import version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PERCENT: Final = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,6})?)\s?%", re.ASCII)
DURATION: Final = re.compile(r"([1-9][0-9]{0,6})([smh])", re.ASCII)
SECONDS: Final = {"h": 3600, "m": 60, "s": 1}
LONGEST_SECONDS: Final = 30 * 24 * 3600
"""Evidence is kept for 30 days, so nothing may wait longer."""


def percent_of(data: object, *, least: float, most: float) -> float:
    """Return the fraction that a percent such as ``0.5%`` writes: 0.005. It lies in [*least*, *most*]."""
    found = PERCENT.fullmatch(data) if isinstance(data, str) else None
    if found is None:
        raise InvalidDocument("", f"{shown(data)} is no percent; write such as 0.5%")
    return check_fraction(float(Decimal(found[1]) / 100), least=least, most=most)


def check_fraction(value: object, *, least: float, most: float) -> float:
    """Return *value* if it is a number from *least* to *most*, all three fractions of one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        reason = f"write {written_percent(least)} to {written_percent(most)}"
        raise InvalidDocument("", f"{shown(value)} as a fraction of one is out of range; {reason}")
    return float(value)


def written_percent(fraction: float) -> str:
    """Return *fraction* as a percent that ``percent_of`` reads as the same number."""
    return f"{(Decimal(repr(float(fraction))) * 100).normalize():f}%"


def slots_of(data: object) -> int:
    """Return how many of the SLOTS a step's weight in percent is: ``5``, ``0.5`` and ``0.5%`` are all read."""
    text = data.removesuffix("%").rstrip() if isinstance(data, str) else shown(data) if _is_number(data) else ""
    found = PERCENT.fullmatch(f"{text}%")
    slots = Decimal(found[1]) * SLOTS / 100 if found else Decimal(0)
    if slots != int(slots) or not 1 <= slots <= SLOTS:
        raise InvalidDocument("", f"{shown(data)} is no weight of a step; write 0.01 to 100 percent, in steps of 0.01")
    return int(slots)


def slots_by_version(data: Mapping[Any, Any]) -> Mapping[int, int]:
    """Return version → slots, as ``slots_of`` reads them, of a step that names its candidates."""
    slots: dict[int, int] = {}
    for key, weight in data.items():
        with at(step_of(key)):
            version = version_of(key)
            if version in slots:
                raise InvalidDocument("", "is written twice; write each candidate once")
            slots[version] = slots_of(weight)
    return slots


def written_slots(slots: int) -> int | str:
    """Return *slots* as a weight in percent: a number where it is whole, else text."""
    whole, rest = divmod(slots * 100, SLOTS)
    return written_percent(slots / SLOTS) if rest else whole


def seconds_of(data: object) -> int:
    """Return the seconds that a duration such as ``60s``, ``5m`` or ``1h`` writes."""
    found = DURATION.fullmatch(data) if isinstance(data, str) else None
    if found is None:
        raise InvalidDocument("", f"{shown(data)} is no duration; write such as 60s, 5m or 1h")
    return check_seconds(int(found[1]) * SECONDS[found[2]])


def check_seconds(seconds: int) -> int:
    """Return *seconds* if a rollout may wait that long."""
    if type(seconds) is not int or not 1 <= seconds <= LONGEST_SECONDS:
        raise InvalidDocument("", f"{shown(seconds)} seconds are out of range; write 1s to {LONGEST_SECONDS // 3600}h")
    return seconds


def written_seconds(seconds: int) -> str:
    """Return *seconds* in the largest unit that they are a whole number of."""
    unit = next(unit for unit, size in SECONDS.items() if seconds % size == 0)
    return f"{seconds // SECONDS[unit]}{unit}"


def check_distance(value: object) -> float:
    """Return *value* if it is a finite number from 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        raise InvalidDocument("", f"{shown(value)} is no distance; write a number from 0")
    return float(value)


def _is_number(data: object) -> bool:
    return isinstance(data, int | float) and not isinstance(data, bool)
