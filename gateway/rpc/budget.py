"""How often a caller may make us work for nothing: a bucket that fills with time and with answers.

Pings, settings, window updates, resets and empty frames cost the one who sends them nothing and have no limit of
their own in HTTP/2: floods of them are its known attacks (CVE-2019-9512, -9515, -9518, CVE-2023-44487).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Budget:
    """Tokens of one connection."""

    __slots__ = ("_clock", "_left", "_most", "_per_second", "_since")

    def __init__(self, most: int, per_second: float, clock: Callable[[], float]) -> None:
        """*most* at once, and so many more *per_second* (by *clock*, seconds)."""
        self._most = most
        self._left: float = most
        self._per_second = per_second
        self._clock = clock
        self._since = clock()

    def spend(self) -> bool:
        """Take a token; say whether there was one."""
        if self._left < 1:
            now = self._clock()
            self._left = min(self._most, self._left + (now - self._since) * self._per_second)
            self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def earn(self) -> None:
        """Give a token back: something useful was done."""
        if self._left < self._most:
            self._left += 1
