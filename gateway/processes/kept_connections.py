"""Open connections on their way from a worker to its successor.

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

MARK: Final = b"c"
"""What a descriptor travels with: one byte for each, so that one read takes one."""


@dataclass(frozen=True, slots=True)
class KeptConnections:
    """A queue of sockets that belongs to a worker's slot: who leaves gives, who is there takes.

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

    def give(self, descriptor: int) -> bool:
        """Hand a connection on, and say whether there was room; the caller closes its own descriptor then."""
        try:
            socket.send_fds(self.gives, [MARK], [descriptor])
        except OSError:  # full, or too many descriptors are on their way: the connection stays where it is
            return False
        return True

    def take(self) -> Iterator[socket.socket]:
        """Yield the connections that wait, and leave none."""
        while True:
            try:
                mark, descriptors, _, _ = socket.recv_fds(self.takes, len(MARK), 1)
            except BlockingIOError:
                return
            if not mark:
                return  # the other end is closed
            for descriptor in descriptors:
                sock = socket.socket(fileno=descriptor)
                sock.setblocking(False)
                yield sock

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
