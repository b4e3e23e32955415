"""One call on its stream: from its headers and messages to its answer, its refusal, or its end without one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.core.errors import GatewayError
from gateway.rpc import heads
from gateway.rpc.frames import Code
from gateway.rpc.messages import PREFIX, SMALL_PACKED_BYTES, MessageReader, unpacked
from gateway.rpc.problems import problem
from gateway.rpc.status import Status
from gateway.serving.bodies import SMALL_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.rpc.connection import Connection
    from gateway.rpc.heads import Head

FIRST_WINDOW: Final = 256 * 1024
"""What a caller may send on a stream before its message has a place: an image of 256 × 256 as floats in one go."""

CONVERSATION_BYTES: Final = 64 * 1024
"""The largest message of a conversation; its answers may wait up to sixteen times as much for their reader."""

PLAIN: Final = 0
PACKED: Final = 1


class Ongoing(Protocol):
    """A call that was begun."""

    def gone(self) -> None:
        """The caller hung up."""


class Method(Protocol):
    """What answers the calls of one path."""

    is_conversation: bool
    """Whether a call has any number of messages, each of which is answered by one; else it has one, and one answer."""

    def begin(self, stream: Stream, body: bytes) -> Ongoing | None:
        """Answer a message, now or later; a conversation's at once, with ``stream.say``."""


class Stream:
    """One call. *window* is what may be sent to the caller; *receive_window* what it may send."""

    __slots__ = (
        "_call", "_connection", "_has_begun", "_held", "_messages", "_method", "began", "ending", "has_ended", "head",
        "is_answered", "moved_at", "number", "pending", "receive_window", "window",
    )  # fmt: skip

    def __init__(self, connection: Connection, number: int, head: Head, method: Method | None, window: int) -> None:
        self._connection = connection
        self._method = method
        self._messages = MessageReader()
        self._call: Ongoing | None = None
        self._has_begun = False
        """The headers of a conversation's answers are sent."""
        self._held = 0
        """What its message has of this worker's room; none where it came whole at once."""
        self.number = number
        self.head = head
        self.window = window
        self.receive_window = FIRST_WINDOW
        self.began = self.moved_at = connection.clock()
        self.pending: memoryview | bytes = b""
        self.ending = b""
        self.has_ended = False
        """The caller sends no more."""
        self.is_answered = False

    # ---- what a method asks and says

    @property
    def metadata(self) -> Sequence[tuple[str, bytes]]:
        """What the caller sent beside the message."""
        return self.head.metadata

    @property
    def address(self) -> str | None:
        """Where the caller is, None for a local socket."""
        return self._connection.address

    def remaining(self) -> float | None:
        """Return the seconds until the caller no longer waits, None where it did not say."""
        timeout = self.head.timeout
        return None if timeout is None else max(0.0, self.began + timeout - self._connection.clock())

    def answer(self, headers: bytes, body: bytes) -> None:
        """Give the answer; *headers* are compressed already."""
        if not self.is_answered:
            self._settle()
            self._connection.out.answer(self, heads.BEGIN + headers, body)

    def refuse(self, headers: bytes, status: Status, text: str) -> None:
        """End the call without an answer."""
        if self.is_answered:
            return
        self._settle()
        trailers = heads.trailers(status, text)
        if headers:
            self._begin_answers(headers)
        if self._has_begun:
            self._connection.out.end(self, trailers)
        else:
            self._connection.out.only(self, heads.BEGIN + trailers)

    def say(self, body: bytes) -> None:
        """Give one of a conversation's answers."""
        self._begin_answers()
        if len(self.pending) > 16 * CONVERSATION_BYTES:
            self._connection.reset(self, Code.ENHANCE_YOUR_CALM)
        else:
            self._connection.out.message(self, body)

    # ---- what the connection tells

    def begin(self) -> None:
        """Refuse at once what needs no message for that."""
        refused = self.head.refused
        if refused is not None and refused.http != 200:
            self.is_answered = True
            self._connection.out.only(self, heads.http_status(refused))
        elif refused is not None:
            self.refuse(heads.ACCEPTS, refused.status, str(refused))
        elif self._method is None:
            path = self.head.path.decode("latin-1")
            self.refuse(b"", Status.UNIMPLEMENTED, f"{path} is no method that is offered here")

    def take(self, piece: bytes) -> None:
        """Take bytes of messages."""
        if self.is_answered:
            return
        messages = self._messages
        messages.take(piece)
        if self._is_conversation:
            self._converse()
        elif messages.needed - PREFIX.size > self._connection.max_body:
            self._fail(self._connection.too_large())
        elif messages.needed and messages.size > messages.needed:
            self.refuse(b"", Status.UNIMPLEMENTED, "this method takes one message, and more came")
        elif messages.needed > messages.size and self._may_hold(messages.needed) and messages.needed > FIRST_WINDOW:
            self._connection.make_room(self, messages.needed)

    def end(self) -> None:
        """The caller has sent all that it will."""
        self.has_ended = True
        if self.is_answered:
            return
        if self._is_conversation:
            if self._messages.size:
                self.refuse(b"", Status.INVALID_ARGUMENT, "the call ended within a message")
            else:
                self._end_conversation()
            return
        message = self._messages.next()
        if message is None:
            status = Status.INVALID_ARGUMENT if self._messages.size else Status.UNIMPLEMENTED
            self.refuse(b"", status, "the call ended before a whole message")
        else:
            self._unpack(*message)

    def gone(self) -> None:
        """The caller hung up, or its connection did."""
        if not self.is_answered and self._call is not None:
            self._call.gone()
        self._settle()

    def late(self) -> None:
        """The message did not come in time."""
        self.refuse(b"", Status.DEADLINE_EXCEEDED, "the message did not come in time")

    # ---- messages

    def _may_hold(self, size: int) -> bool:
        """Let the message have *size* bytes of this worker's room; False when the refusal has been sent."""
        try:
            self._connection.hold(self._held, size)
        except GatewayError as exc:
            self._fail(exc)
            return False
        self._held = size
        return True

    def _settle(self) -> None:
        """The call has its answer, or needs none: give back the room of its message."""
        self.is_answered = True
        self._call = None  # it knows the message, and the answer may wait for its reader
        if self._held:
            self._connection.hold(self._held, 0)
            self._held = 0

    @property
    def _is_conversation(self) -> bool:
        return self._method is not None and self._method.is_conversation

    def _converse(self) -> None:
        if self._messages.needed > CONVERSATION_BYTES:
            self.refuse(b"", Status.RESOURCE_EXHAUSTED, f"a message here has at most {CONVERSATION_BYTES} bytes")
        while not self.is_answered and (message := self._messages.next()) is not None:
            self.began = self._connection.clock()
            self._unpack(*message)
        if not self.is_answered and self._messages.size != self._held:
            self._may_hold(self._messages.size)
        if not self.is_answered and self.receive_window < FIRST_WINDOW // 2:
            self._connection.widen(self, FIRST_WINDOW - self.receive_window)

    def _end_conversation(self) -> None:
        self._begin_answers()
        self._settle()
        self._connection.out.end(self, heads.DONE)

    def _begin_answers(self, headers: bytes = b"") -> None:
        if not self._has_begun:
            self._has_begun = True
            self._connection.out.begin(self, heads.BEGIN + headers)

    def _unpack(self, flag: int, body: bytes) -> None:
        """Hand a message over as it is, or unpacked; what may take long is unpacked on a thread."""
        coding = self.head.coding
        if flag == PLAIN:
            self._hand_over(body)
        elif flag != PACKED or coding == b"identity":
            self.refuse(b"", Status.INTERNAL, "the message says that it is packed, and the call names no grpc-encoding")
        elif len(body) <= SMALL_PACKED_BYTES or self._is_conversation:
            try:
                plain = unpacked(coding, body, self._connection.max_body)
            except GatewayError as exc:
                self._fail(exc)
            else:
                if len(plain) <= SMALL_BYTES or self._may_hold(len(plain)):
                    self._hand_over(plain)
        else:
            unpacking = asyncio.create_task(self._unpack_aside(coding, body))
            unpacking.add_done_callback(self._unpacked)
            self._call = Errand(unpacking)

    async def _unpack_aside(self, coding: bytes, body: bytes) -> bytes:
        """Return what *body* holds. Raises as ``unpacked`` does, and BodiesOverloaded."""
        async with self._connection.unpacking:
            plain = await asyncio.to_thread(unpacked, coding, body, self._connection.max_body)
            self._connection.hold(self._held, len(plain))
            self._held = len(plain)
            return plain

    def _unpacked(self, unpacking: asyncio.Task[bytes]) -> None:
        if unpacking.cancelled() or self.is_answered:
            return
        error = unpacking.exception()
        if error is None:
            self._hand_over(unpacking.result())
        else:
            self._fail(error)

    def _hand_over(self, body: bytes) -> None:
        assert self._method is not None
        call = self._method.begin(self, body)
        if call is not None and not self.is_answered:
            self._call = call

    def _fail(self, error: BaseException) -> None:
        status, _, text = problem(error if isinstance(error, GatewayError) else None)
        self.refuse(b"", status, text)


class Errand:
    """A call that a task answers."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task

    def gone(self) -> None:
        """End the task."""
        self._task.cancel()
