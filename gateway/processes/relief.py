"""New connections of a worker that stands still, on their way to one that turns: those of HTTP and of gRPC.

The kernel spreads connections over the listening sockets and does not know whether anybody accepts: those of a worker
that hangs would wait in its socket's queue until it is replaced. The launcher has every listening socket too, so while
a worker stands still it accepts in its place and hands what it got to another, as a worker that ends hands on what it
kept (``kept_connections``). It reads nothing of a connection, and never accepts for a worker that turns.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gateway.processes.children import Child
    from gateway.processes.sockets import Entrance
    from gateway.telemetry.views import WorkerGauges

    class Place(Protocol):
        """What is asked of a worker's slot."""

        number: int
        child: Child | None

        def entrances(self) -> Sequence[Entrance]:
            """One for each port, in the same order at every worker."""


log = logging.getLogger(__name__)

STALLED_SECONDS: Final = 1.0
"""A worker whose event loop has not turned for so long gets no new connection. It beats four times a second; one that
was merely held up loses nothing by it."""

AT_ONCE: Final = 256
"""So many connections of a worker are handed on before the launcher looks at its other duties again."""


class Relief:
    """Remembers which workers stand still, and who takes their connections, in turns."""

    def __init__(self) -> None:
        self._stalled: dict[int, Place] = {}
        """By the process that stands still."""
        self._takers: list[Place] = []

    def look(self, places: Iterable[Place], beats: Iterable[WorkerGauges], now: float) -> None:
        """Find who stands still at the monotonic time *now*; tell it once of each process."""
        late = {int(beat.pid): now - beat.heartbeat for beat in beats}
        ready = {each.child.pid: each for each in places if each.child is not None and each.child.is_ready()}
        before = self._stalled
        self._stalled = {pid: each for pid, each in ready.items() if late.get(pid, 0.0) > STALLED_SECONDS}
        self._takers = [each for pid, each in ready.items() if pid in late and pid not in self._stalled]
        for pid in self._stalled.keys() - before.keys():
            place = self._stalled[pid]
            where = f"go to {len(self._takers)} others" if self._takers else "wait, for there is no other"
            log.warning(
                "worker %d (process %d) has stood still for %.1f s, its new connections %s",
                place.number, pid, late[pid], where,
            )  # fmt: skip

    def sockets(self) -> list[socket.socket]:
        """Return what is readable when a connection waits that somebody else could take."""
        return [entrance.sock for _, entrance in self._left()]

    def hand_on(self) -> None:
        """Hand on what waits now; where all queues are full it is left to the successor of the worker, else closed."""
        for port, entrance in self._left():
            entrance.sock.setblocking(False)  # the worker may wake and take what was seen to wait
            for _ in range(AT_ONCE):
                try:
                    connection, _address = entrance.sock.accept()
                except OSError:  # nothing waits any more, or who waited has left
                    break
                with contextlib.closing(connection):
                    self._takers.append(self._takers.pop(0))
                    _give(connection, (*(each.entrances()[port] for each in self._takers), entrance))

    def _left(self) -> Iterator[tuple[int, Entrance]]:
        """Yield where somebody else could accept, each with its place among the entrances of its worker."""
        for place in self._stalled.values() if self._takers else ():
            for port, entrance in enumerate(place.entrances()):
                if _listens(entrance.sock):
                    yield port, entrance


def _give(connection: socket.socket, entrances: Iterable[Entrance]) -> None:
    """Hand a connection to the first who has room."""
    queues = (each.kept for each in entrances if each.kept is not None)
    any(kept.give(connection.fileno(), is_new=True) for kept in queues)


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
