"""How many bytes of bodies this worker holds at once, over every protocol; a larger sum is refused before it is read.

A body has its own limit, a connection has its own, and so has a queue: a hundred callers who each keep to all of them
could still ask for a hundred times the largest body. What is counted is what callers sent, or say that they will
send, from then until they are answered. What the runtime takes for it is not.
"""

from __future__ import annotations

from typing import Final

from gateway.core.errors import BodiesOverloaded

SMALL_BYTES: Final = 64 * 1024
"""A body of so many bytes, or fewer, finds room where a larger one finds none."""

SMALL_ROOM: Final = 32 * 1024 * 1024
"""Beside the limit, for small ones alone: 512 of them."""


class Bodies:
    """The room of one worker, in bytes."""

    __slots__ = ("_most", "held")

    def __init__(self, most: int) -> None:
        """*most*: what all bodies together may have; one that is alone may have more, for it has a limit of its own."""
        self._most = most
        self.held = 0
        """What they have now."""

    def change(self, before: int, after: int) -> None:
        """Let a body that has *before* bytes of the room have *after*. Raises BodiesOverloaded; it keeps *before* then.

        To have fewer cannot fail.
        """
        others = self.held - before
        most = self._most + SMALL_ROOM if after <= SMALL_BYTES else self._most
        if after > before and others and others + after > most:
            raise BodiesOverloaded(after, self._most)
        self.held = others + after
