"""How much of messages that are not whole one connection may make us hold.

Each stream may begin with a small window. A message that is larger says so in its first bytes; it gets the rest of
its window when there is room for all of it, in the order in which they came. So one connection holds no more than one
message of the largest size beside the small windows, and each that was let in can be finished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.rpc.stream import Stream


class Room:
    """The room of one connection, in bytes."""

    __slots__ = ("_held", "_hoping", "_left", "_widen")

    def __init__(self, size: int, widen: Callable[[Stream, int], None]) -> None:
        """*widen* lets a stream's caller send so many bytes more."""
        self._left = size
        self._widen = widen
        self._held: dict[Stream, int] = {}
        self._hoping: dict[Stream, int] = {}

    def take(self, stream: Stream, needed: int) -> None:
        """Give a stream its room now or later; once only. *needed* is at most the whole size."""
        if stream not in self._held and stream not in self._hoping:
            self._hoping[stream] = needed
            self._grant()

    def give_back(self, stream: Stream) -> None:
        """A stream's message is whole, or will never be."""
        if self._hoping.pop(stream, None) is None:
            self._left += self._held.pop(stream, 0)
        if self._hoping:
            self._grant()

    def close(self) -> None:
        """Let nobody in any more."""
        self._hoping.clear()

    def _grant(self) -> None:
        for stream, needed in tuple(self._hoping.items()):
            if needed > self._left:
                return
            del self._hoping[stream]
            self._left -= needed
            self._held[stream] = needed
            self._widen(stream, needed)
