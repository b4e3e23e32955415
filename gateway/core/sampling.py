"""Which of many requests something is said of: a share of them, or so many a second. Clocks and draws come in."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

DRAWS: Final = 1 << 64
"""A draw is an integer below this."""

_SHARE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", re.ASCII)
_PACE: Final = re.compile(r"([0-9]{1,6})/s", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sampling:
    """*share* of one of the requests, and of those at most *per_second*."""

    share: float = 0.0
    per_second: float = math.inf

    def draws(self, draw: int) -> bool:
        """Say whether the integer *draw*, in [0, DRAWS), is one of the share."""
        return draw < self.share * DRAWS


def read_share(text: str) -> float:
    """Return the share of one that ``5%`` writes. Raises ValueError."""
    match = _SHARE.fullmatch(text)
    if match is None or float(match[1]) > 100:
        raise ValueError("must be a percentage from 0% to 100%, such as 1%")
    return float(match[1]) / 100


def read_sampling(text: str) -> Sampling:
    """Return what ``off``, ``1%`` or ``100/s`` writes. Raises ValueError."""
    if text == "off":
        return Sampling()
    if (match := _PACE.fullmatch(text)) is not None and int(match[1]):
        return Sampling(1.0, float(match[1]))
    try:
        return Sampling(read_share(text))
    except ValueError:
        raise ValueError("must be off, a percentage such as 1%, or so many a second such as 100/s") from None


class Pace:
    """Lets at most so many pass in a second, evenly refilled: a token bucket that holds one second's worth."""

    __slots__ = ("_at", "_left", "per_second")

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._left = per_second
        self._at = -math.inf

    def takes(self, now: float) -> bool:
        """Say whether one more passes at *now*, seconds of a clock that does not go back."""
        if self.per_second == math.inf:
            return True
        self._left = min(self.per_second, self._left + min(1.0, now - self._at) * self.per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
