"""A large body with binary tensors, read by the kernel into the memory that its tensors are views of.

The usual way of a byte is a copy into the event loop's buffer, one into a bytes object, one into the parser's piece of
a body and one into its room. For tensors of half a megabyte that costs more than what is done with them.

This stands in the connection's place before the transport, and hands everything but the bytes of such a body on to the
connection: deadlines, refusals, drain and disconnects stay the guard's own. It never asks the transport for a byte
behind the body, so a request that is pipelined waits in the kernel, for the parser. Between bodies it reads little at
once, so that of the next one no more than the beginning takes the usual way.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from gateway.rest.guard import HEAD, HEAD_BEGUN

if TYPE_CHECKING:
    from gateway.rest.room import Room

LARGE_BYTES: Final = 65_536
"""What is still to come of a body that is worth it: for fewer the usual way is as quick."""

HEAD_BYTES: Final = 4096
"""Read of what follows a large body, which is mostly a head and then another one."""


class Connection(Protocol):
    """Whose bodies are read: a connection behind its guard, as far as this module looks at it."""

    part: int
    is_over: bool

    def data_received(self, data: bytes, /) -> None:
        """Parse what came."""

    def read_as_usual(self) -> None:
        """Take the place before the transport back."""

    def body_came(self) -> None:
        """Run the request whose body has come."""

    def eof_received(self) -> bool:
        """Say whether the connection is still to be answered."""

    def connection_lost(self, exc: Exception | None, /) -> None:
        """Free what is held."""

    def pause_writing(self) -> None:
        """Wait for a caller that does not read."""

    def resume_writing(self) -> None:
        """Go on with a caller that reads again."""


class BodyReader(asyncio.BufferedProtocol):
    """Reads for *connection* from its first large body on, until a request comes that has none."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._head = memoryview(bytearray(HEAD_BYTES))
        self.room: Room | None = None
        """Where the body goes that is being read, None between bodies."""

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the room knows better
        """Return where the next bytes go: never room for one behind the body."""
        return self._head if self.room is None else self.room.rest()

    def buffer_updated(self, nbytes: int) -> None:
        """Take *nbytes* that came; the last of a body lets its request run."""
        connection, room = self._connection, self.room
        if room is None:
            connection.data_received(bytes(self._head[:nbytes]))
            if self.room is None and connection.part not in (HEAD_BEGUN, HEAD):
                connection.read_as_usual()
        elif connection.is_over:
            self.room = None  # refused meanwhile: what still comes is thrown away
        elif not room.came(nbytes):
            self.room = None
            connection.body_came()

    def eof_received(self) -> bool:
        """Let the connection say whether it still answers."""
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the connection free what it holds."""
        self.room = None
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on that the caller does not read."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the caller reads again."""
        self._connection.resume_writing()
