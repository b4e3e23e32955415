"""The answers of one batch, written together once all of them are made.

Making an answer and handing it to the kernel are two pieces of code that leave each other nothing in the processor's
caches. Where each answer was written as soon as it was made, a request took a tenth more of the processor
(docs/performance.md). Event loop only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    class Flow(Protocol):
        """The back-pressure of one connection."""

        write_paused: bool

        def pause_reading(self) -> None:
            """Take no more from the caller."""
            ...

    Letter = tuple[Callable[[bytes], None], bytes, Flow]
    """What writes to a connection, what is to be written, and the connection's flow."""

SMALL_BYTES: Final = 16 * 1024
"""Larger answers are not held: together they could be much, and the kernel's part is the larger one."""


class Outbox:
    """Holds what is put into *held* while that is a list; where it is None, answers are written by who made them.

    What is held goes before anything else can happen on its connection: nothing of the event loop runs between.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: list[Letter] | None = None

    def send(self) -> None:
        """Write what is held, in its order, and hold no more; a caller that does not read is read no more either."""
        held, self.held = self.held, None
        for write, data, flow in held or ():
            write(data)
            if flow.write_paused:
                flow.pause_reading()
