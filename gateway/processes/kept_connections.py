"""Open connections on their way from a worker to its successor, or to another worker where it stands still.

HTTP/1.1 cannot end a kept connection safely: a request may be on its way while the end is, and nobody tells its caller
whether it was done. A worker that is replaced therefore ends none that is idle. It hands the socket on, in which a
request that came meanwhile lies unread; the next process in the slot goes on with it, and the caller sees nothing.

Sources: RFC 9112, sections 9.3.1 and 9.6; unix(7), SCM_RIGHTS.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT: Final = b"k"
NEW: Final = b"n"
"""What a descriptor travels with: one byte for each, so that one read takes one, and says whether anybody was asked
anything over it before."""


@dataclass(frozen=True, slots=True)
class KeptConnections:
    """A queue of sockets that belongs to one port of a worker's slot: who leaves gives, who is there takes.

    What is given and not taken yet lives in the kernel, so a process that ends between loses none. A queue that is
    dropped closes what is in it.
    """

    gives: socket.socket
    takes: socket.socket

    def ends(self) -> tuple[socket.socket, socket.socket]:
        """Return both ends, which every process of the slot keeps open."""
        return self.gives, self.takes

    def fileno(self) -> int:
        """Return what is readable when there is something to take."""
        return self.takes.fileno()

    def give(self, descriptor: int, *, is_new: bool = False) -> bool:
        """Hand a connection on, and say whether there was room; the caller closes its own descriptor then."""
        try:
            socket.send_fds(self.gives, [NEW if is_new else KEPT], [descriptor])
        except OSError:  # full, or too many descriptors are on their way: the connection stays where it is
            return False
        return True

    def take(self) -> Iterator[tuple[socket.socket, bool]]:
        """Yield the connections that wait, each with whether it is new, and leave none."""
        while True:
            try:
                mark, descriptors, _, _ = socket.recv_fds(self.takes, len(KEPT), 1)
            except BlockingIOError:
                return
            if not mark:
                return  # the other end is closed
            for descriptor in descriptors:
                sock = socket.socket(fileno=descriptor)
                sock.setblocking(False)
                yield sock, mark == NEW

    def close(self) -> None:
        """Drop the queue."""
        for end in self.ends():
            end.close()


def queue() -> KeptConnections:
    """Return a new queue, which is empty."""
    gives, takes = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    gives.setblocking(False)
    takes.setblocking(False)
    return KeptConnections(gives, takes)
