"""Whether a caller that has ended its side of a connection still waits for the answer.

A caller that hangs up, and one that only says that it has sent all, look the same: both end their side. Who hung up
answers whatever it is sent with a reset; who waits skips an interim answer, which every client of HTTP/1.1 must be able
to do without having asked for one. So an answer that takes longer than ANSWERED_SECONDS is announced with
``100 Continue``, and the connection is looked at until it is answered or turns out to be gone.

Answers nothing by itself, and is asked only of connections whose caller ended its side.

Source: RFC 9110, section 15.2; RFC 9112, section 9.6; RFC 9293, section 3.10.7.4.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

ANSWERED_SECONDS: Final = 0.03
"""By far the most answers come sooner, and nobody is sent what is not an answer."""

LOOK_SECONDS: Final = 0.05
"""How often is looked whether the caller turned out to be gone; a reset takes as long as the way there and back."""

ANNOUNCEMENT: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Departure:
    """One connection whose caller ended its side while it is owed an answer."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, is_waiting: Callable[[], bool]
    ) -> None:
        """*is_waiting*: whether nothing of the answer was written yet. A caller that is gone ends the connection."""
        self._loop = loop
        self._transport = transport
        self._is_waiting = is_waiting
        self._next = loop.call_later(ANSWERED_SECONDS, self._announce)

    def cancel(self) -> None:
        """The connection is lost: look no more."""
        self._next.cancel()

    def _announce(self) -> None:
        if self._is_waiting() and not self._transport.is_closing():
            self._transport.write(ANNOUNCEMENT)
            self._next = self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        if not self._is_waiting() or self._transport.is_closing():
            return
        if _is_reset(self._transport):
            self._transport.abort()
        else:
            self._next = self._loop.call_later(LOOK_SECONDS, self._look)


def _is_reset(transport: asyncio.Transport) -> bool:
    """Say whether the other end has refused what it was sent; nothing is read from it any more that would tell."""
    peer = transport.get_extra_info("socket")
    return peer is not None and peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
