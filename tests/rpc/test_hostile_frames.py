"""Callers who break HTTP/2, or use it against us: over raw sockets, each ends as it must and the door serves on."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.core.limits import Limits
from gateway.rpc import frames
from gateway.rpc.connection import MOST_IDLE_FRAMES, MOST_RESETS
from gateway.rpc.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    LARGEST,
    PADDED,
    PREFACE,
    Code,
    frame,
    reset,
    settings,
    window_update,
)
from gateway.rpc.messages import prefixed
from gateway.rpc.stream import FIRST_WINDOW
from tests.rest.door import send_all_to
from tests.rpc.door import RpcDoor, message
from tests.rpc.raw import SETTINGS, Raw
from tests.serving.fakes import SLOW, Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PING = frame(frames.PING, 0, 0, b"12345678")
BODY = message().SerializeToString()


@asynccontextmanager
async def opened(*, max_body: int = 10_000, **limits: float) -> AsyncIterator[RpcDoor]:
    door = RpcDoor(timeout=20.0, max_body=max_body, limits=Limits(**limits))  # type: ignore[arg-type]  # passed through
    await door.open()
    try:
        yield door
        assert (await door.infer_message(message())).code.name == "OK"  # whatever was done, others are served
        assert door.inference.in_flight == 0
    finally:
        await door.close()


# ---- the connection's own rules

FAULTS: dict[str, tuple[Callable[[Raw], None], Code]] = {
    "a frame over the largest size": (
        lambda raw: raw.send(frame(frames.DATA, 0, 1, b"\0" * 16_385)),
        Code.FRAME_SIZE_ERROR,
    ),
    "DATA on stream 0": (lambda raw: raw.send(frame(frames.DATA, 0, 0, b"")), Code.PROTOCOL_ERROR),
    "HEADERS on stream 0": (lambda raw: raw.send(frame(frames.HEADERS, END_HEADERS, 0, b"")), Code.PROTOCOL_ERROR),
    "HEADERS on an even stream": (lambda raw: raw.send(frame(frames.HEADERS, 4, 2, raw.head())), Code.PROTOCOL_ERROR),
    "DATA on an idle stream": (lambda raw: raw.send(frame(frames.DATA, 0, 7, b"x")), Code.PROTOCOL_ERROR),
    "RST_STREAM of an idle stream": (lambda raw: raw.send(reset(7, Code.CANCEL)), Code.PROTOCOL_ERROR),
    "WINDOW_UPDATE of an idle stream": (lambda raw: raw.send(window_update(7, 1)), Code.PROTOCOL_ERROR),
    "a window widened by nothing": (lambda raw: raw.send(window_update(0, 0)), Code.PROTOCOL_ERROR),
    "a window over 2^31 - 1": (lambda raw: raw.send(window_update(0, LARGEST)), Code.FLOW_CONTROL_ERROR),
    "PING of 7 bytes": (lambda raw: raw.send(frame(frames.PING, 0, 0, b"1234567")), Code.FRAME_SIZE_ERROR),
    "PING on a stream": (lambda raw: raw.send(frame(frames.PING, 0, 1, b"12345678")), Code.PROTOCOL_ERROR),
    "SETTINGS on a stream": (lambda raw: raw.send(frame(frames.SETTINGS, 0, 1, b"")), Code.PROTOCOL_ERROR),
    "SETTINGS of five bytes": (lambda raw: raw.send(frame(frames.SETTINGS, 0, 0, b"12345")), Code.FRAME_SIZE_ERROR),
    "an acknowledgement with settings": (
        lambda raw: raw.send(frame(frames.SETTINGS, ACK, 0, b"123456")),
        Code.FRAME_SIZE_ERROR,
    ),
    "ENABLE_PUSH of 2": (lambda raw: raw.send(settings({frames.ENABLE_PUSH: 2})), Code.PROTOCOL_ERROR),
    "a first window over 2^31 - 1": (
        lambda raw: raw.send(settings({frames.INITIAL_WINDOW_SIZE: LARGEST + 1})),
        Code.FLOW_CONTROL_ERROR,
    ),
    "a largest frame of 1": (lambda raw: raw.send(settings({frames.MAX_FRAME_SIZE: 1})), Code.PROTOCOL_ERROR),
    "PUSH_PROMISE": (lambda raw: raw.send(frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\2")), Code.PROTOCOL_ERROR),
    "PRIORITY of four bytes": (lambda raw: raw.send(frame(frames.PRIORITY, 0, 1, b"1234")), Code.FRAME_SIZE_ERROR),
    "RST_STREAM of three bytes": (lambda raw: raw.send(frame(frames.RST_STREAM, 0, 1, b"123")), Code.FRAME_SIZE_ERROR),
    "HEADERS too short for a priority": (
        lambda raw: raw.send(frame(frames.HEADERS, END_HEADERS | frames.WITH_PRIORITY, 1, b"123")),
        Code.FRAME_SIZE_ERROR,
    ),
    "more padding than frame in HEADERS": (
        lambda raw: raw.send(frame(frames.HEADERS, END_HEADERS | PADDED, 1, b"\x05123")),
        Code.PROTOCOL_ERROR,
    ),
    "no padding's length": (lambda raw: raw.send(frame(frames.HEADERS, 4 | PADDED, 1, b"")), Code.PROTOCOL_ERROR),
    "CONTINUATION of nothing": (lambda raw: raw.send(frame(frames.CONTINUATION, 4, 1, b"")), Code.PROTOCOL_ERROR),
    "a block interrupted by a ping": (
        lambda raw: raw.send(frame(frames.HEADERS, 0, 1, raw.head()), PING),
        Code.PROTOCOL_ERROR,
    ),
    "a block continued on another stream": (
        lambda raw: raw.send(frame(frames.HEADERS, 0, 1, b""), frame(frames.CONTINUATION, 4, 3, b"")),
        Code.PROTOCOL_ERROR,
    ),
    "headers that are no HPACK": (
        lambda raw: raw.send(frame(frames.HEADERS, 4, 1, b"\xff" * 9)),
        Code.COMPRESSION_ERROR,
    ),
    "an integer without end": (
        lambda raw: raw.send(frame(frames.HEADERS, 4, 1, b"\x7f" + b"\x80" * 5000)),
        Code.COMPRESSION_ERROR,
    ),
    "a table over its size": (
        lambda raw: raw.send(frame(frames.HEADERS, 4, 1, b"\x3f\xe1\xff\x03" + raw.head())),
        Code.COMPRESSION_ERROR,
    ),
    "a table that changes its size without end": (
        lambda raw: raw.send(frame(frames.HEADERS, 4, 1, b"\x20" * 9000)),
        Code.COMPRESSION_ERROR,
    ),
    "a bomb of indices": (
        lambda raw: raw.send(frame(frames.HEADERS, 4, 1, b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * 12_000)),
        Code.ENHANCE_YOUR_CALM,
    ),
    "CONTINUATION without end": (
        lambda raw: raw.send(frame(frames.HEADERS, 0, 1, b""), *[frame(frames.CONTINUATION, 0, 1, b"")] * 1000),
        Code.ENHANCE_YOUR_CALM,
    ),
    "a block over its size": (
        lambda raw: raw.send(frame(frames.HEADERS, 0, 1, b""), *[frame(frames.CONTINUATION, 0, 1, b"\0" * 16_000)] * 3),
        Code.ENHANCE_YOUR_CALM,
    ),
    "a flood of settings": (lambda raw: raw.send(SETTINGS * (MOST_IDLE_FRAMES + 500)), Code.ENHANCE_YOUR_CALM),
    "a flood of pings": (lambda raw: raw.send(PING * (MOST_IDLE_FRAMES + 500)), Code.ENHANCE_YOUR_CALM),
    "a flood of priorities": (
        lambda raw: raw.send(frame(frames.PRIORITY, 0, 1, b"12345") * (MOST_IDLE_FRAMES + 500)),
        Code.ENHANCE_YOUR_CALM,
    ),
    "a flood of unknown frames": (lambda raw: raw.send(frame(99, 0, 0, b"") * 1500), Code.ENHANCE_YOUR_CALM),
    "a flood of small updates": (lambda raw: raw.send(window_update(0, 1) * 1500), Code.ENHANCE_YOUR_CALM),
}


@pytest.mark.parametrize("what", FAULTS)
async def test_a_connection_that_breaks_the_rules_is_told_why_and_ended(what: str) -> None:
    act, code = FAULTS[what]
    async with opened() as door:
        raw = await Raw.connect(door.port)

        act(raw)

        assert (await raw.ended())[0] is code
        raw.close()


async def test_empty_data_without_end_is_a_flood_too() -> None:
    async with opened() as door:
        raw = await Raw.connect(door.port)

        number = raw.begin()
        raw.send(frame(frames.DATA, 0, number, b"") * (MOST_IDLE_FRAMES + 500))

        assert (await raw.ended())[0] is Code.ENHANCE_YOUR_CALM
        raw.close()


async def test_calls_that_are_begun_and_reset_at_once_end_the_connection() -> None:
    async with opened() as door:
        raw = await Raw.connect(door.port)

        for _ in range(MOST_RESETS + 200):
            raw.send(reset(raw.begin(), Code.CANCEL))

        assert (await raw.ended())[0] is Code.ENHANCE_YOUR_CALM
        raw.close()


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", PREFACE[:-1] + b"x", b"\x16\x03\x01\x02\x00\x01"])
async def test_what_is_not_http_2_is_told_what_this_port_speaks(sent: bytes) -> None:
    async with opened() as door:
        raw = await Raw.connect(door.port, greet=False)

        raw.send(sent)

        code, text = await raw.ended()
        assert code is Code.PROTOCOL_ERROR
        assert "speaks gRPC" in text
        raw.close()


async def test_the_first_frame_must_be_settings() -> None:
    async with opened() as door:
        raw = await Raw.connect(door.port, greet=False)

        raw.send(PREFACE + PING)

        assert (await raw.ended())[0] is Code.PROTOCOL_ERROR
        raw.close()


@pytest.mark.parametrize("sent", [b"", PREFACE[:5], PREFACE, PREFACE + SETTINGS + frame(frames.HEADERS, 0, 1, b"")])
async def test_a_caller_who_does_not_get_to_its_first_call_is_ended_in_time(sent: bytes) -> None:
    async with opened(head_seconds=0.2) as door:
        raw = await Raw.connect(door.port, greet=False)
        raw.send(sent)

        async with asyncio.timeout(5):
            code, text = await raw.ended()

        assert code is Code.ENHANCE_YOUR_CALM
        assert "in time" in text
        raw.close()


async def test_bytes_that_drip_in_are_read_as_if_they_came_at_once() -> None:
    async with opened() as door:
        raw = await Raw.connect(door.port, greet=False)
        whole = PREFACE + SETTINGS + frame(frames.HEADERS, 4, 1, raw.head()) + frame(frames.DATA, 1, 1, prefixed(BODY))

        for position in range(len(whole)):
            raw.send(whole[position : position + 1])
            await raw.writer.drain()
            await asyncio.sleep(0)

        assert await raw.status(1) == 0
        raw.close()


async def test_an_idle_connection_is_asked_to_leave() -> None:
    async with opened(idle_seconds=0.2) as door:
        raw = await Raw.connect(door.port)

        async with asyncio.timeout(5):
            assert (await raw.ended())[0] is Code.NO_ERROR
        raw.close()


async def test_a_connection_too_many_is_refused() -> None:
    async with opened(connections=2) as door:
        first = await Raw.connect(door.port)
        assert await first.is_served()

        second = await Raw.connect(door.port)

        assert (await second.ended())[0] is Code.ENHANCE_YOUR_CALM
        assert await first.is_served()
        first.close()
        second.close()


# ---- streams


async def test_calls_over_the_limit_of_one_connection_are_refused_to_be_tried_again() -> None:
    async with opened(streams=2) as door:
        raw = await Raw.connect(door.port)
        first, second = raw.begin(), raw.begin()

        third = raw.begin()

        assert await raw.was_reset(third) is Code.REFUSED_STREAM
        for number in (first, second):
            raw.data(number, prefixed(BODY))
            assert await raw.status(number) == 0
        raw.close()


async def test_data_beyond_the_window_of_a_stream_resets_it() -> None:
    async with opened(max_body=1 << 20) as door:
        raw = await Raw.connect(door.port)
        number = raw.begin()
        raw.data(number, struct.pack(">BL", 0, FIRST_WINDOW - 5), ends=False)

        for _ in range(FIRST_WINDOW // 16_000 + 1):
            raw.data(number, b"\0" * 16_000, ends=False)

        assert await raw.was_reset(number) in (Code.FLOW_CONTROL_ERROR, Code.NO_ERROR)
        raw.close()


async def test_a_large_message_is_let_in_only_when_there_is_room_for_it() -> None:
    async with opened(max_body=2 * FIRST_WINDOW) as door:
        raw = await Raw.connect(door.port)
        first, second = raw.begin(), raw.begin()
        for number in (first, second):
            raw.data(number, struct.pack(">BL", 0, 2 * FIRST_WINDOW), ends=False)
        await raw.until(frames.WINDOW_UPDATE, stream=first)
        assert await raw.is_served()
        assert not any(each.stream == second for each in raw.seen)

        raw.send(reset(first, Code.CANCEL))

        await raw.until(frames.WINDOW_UPDATE, stream=second)
        raw.send(reset(second, Code.CANCEL))
        assert await raw.is_served()
        raw.close()


async def test_padding_counts_and_is_left_out() -> None:
    async with opened() as door:
        raw = await Raw.connect(door.port)
        number = raw.begin()

        raw.send(frame(frames.DATA, END_STREAM | PADDED, number, b"\x03" + prefixed(BODY) + b"\0\0\0"))

        assert await raw.status(number) == 0
        raw.close()


async def test_frames_for_a_stream_that_has_ended_disturb_nobody() -> None:
    async with opened() as door:
        raw = await Raw.connect(door.port)
        number = raw.call(BODY)
        await raw.answer(number)

        raw.send(frame(frames.DATA, 0, number, b"late"), window_update(number, 1), reset(number, Code.CANCEL))
        raw.send(frame(frames.HEADERS, END_HEADERS | END_STREAM, number, raw.encoder.encode([("late", "trailer")])))

        assert await raw.was_reset(number) is Code.STREAM_CLOSED
        assert await raw.status(raw.call(BODY)) == 0
        raw.close()


async def test_trailers_of_a_caller_end_its_call() -> None:
    async with opened() as door:
        raw = await Raw.connect(door.port)
        number = raw.begin()
        raw.data(number, prefixed(BODY), ends=False)

        raw.send(frame(frames.HEADERS, END_HEADERS | END_STREAM, number, raw.encoder.encode([("x-sum", "1")])))

        assert await raw.status(number) == 0
        raw.close()


async def test_a_message_that_does_not_come_is_not_waited_for() -> None:
    async with opened(body_seconds=0.2) as door:
        raw = await Raw.connect(door.port)

        number = raw.begin()

        assert await raw.status(number) == 4
        raw.close()


async def test_a_window_update_of_nothing_resets_its_stream_only() -> None:
    async with opened() as door:
        raw = await Raw.connect(door.port)
        first, second = raw.begin(), raw.begin()

        raw.send(window_update(first, 0), window_update(second, LARGEST))

        assert await raw.was_reset(first) is Code.PROTOCOL_ERROR
        assert await raw.was_reset(second) is Code.FLOW_CONTROL_ERROR
        assert await raw.is_served()
        raw.close()


# ---- callers who do not read


async def test_an_answer_waits_for_the_window_and_goes_out_in_pieces() -> None:
    async with opened() as door:
        raw = await Raw.connect(door.port, greet=False)
        raw.send(PREFACE, settings({frames.INITIAL_WINDOW_SIZE: 0}))
        number = raw.call(BODY)
        await raw.until(frames.HEADERS, stream=number)
        assert await raw.is_served()
        assert not any(each.kind == frames.DATA for each in raw.seen)

        raw.send(window_update(number, 10), settings({frames.INITIAL_WINDOW_SIZE: 10_000}))

        pieces = [await raw.until(frames.DATA, stream=number), await raw.until(frames.DATA, stream=number)]
        assert len(pieces[0].payload) == 10
        await raw.until(frames.HEADERS, stream=number, flags=END_STREAM)
        raw.close()


async def test_an_answer_that_nobody_makes_room_for_is_dropped_in_time() -> None:
    async with opened(write_seconds=0.2) as door:
        raw = await Raw.connect(door.port, greet=False)
        raw.send(PREFACE, settings({frames.INITIAL_WINDOW_SIZE: 0}))

        number = raw.call(BODY)

        assert await raw.was_reset(number) is Code.CANCEL
        raw.close()


async def test_a_caller_who_never_reads_its_socket_is_cut_off() -> None:
    async with opened(write_seconds=0.3, max_body=200_000) as door:
        raw = await Raw.connect(door.port, greet=False)
        raw.send(PREFACE, settings({frames.INITIAL_WINDOW_SIZE: LARGEST}), window_update(0, 1 << 30))
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a socket's
        body, block = rows(4_000), raw.head()
        raw.begin(block)
        block = raw.head()  # the same from now on: the table has all of it

        async def keep_calling() -> None:
            while True:
                number = raw.begin(block)
                for piece in pieces(prefixed(body)):
                    raw.data(number, piece, ends=False)
                raw.data(number, b"")
                await raw.writer.drain()
                await asyncio.sleep(0)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(keep_calling(), 20)
        raw.close()


def rows(count: int) -> bytes:
    """Return a call of so many rows; its answer is as long."""
    made = message()
    made.inputs[0].shape[0] = count
    made.raw_input_contents[0] = bytes(8 * count)
    return bytes(made.SerializeToString())


def pieces(whole: bytes) -> list[bytes]:
    return [whole[start : start + 16_384] for start in range(0, len(whole), 16_384)]


async def test_a_caller_who_resets_its_call_frees_its_place() -> None:
    async with opened() as door:
        gate = Gate()
        door.floor.held.hold("fraud", 3, gate, run_seconds=SLOW)
        raw = await Raw.connect(door.port)
        number = raw.call(message(version="3").SerializeToString())
        await gate.begun.wait()

        raw.send(reset(number, Code.CANCEL))

        assert await raw.is_served()
        assert door.inference.in_flight == 0
        assert door.outcomes(3) == ["cancelled"]
        gate.open()
        raw.close()
        send_all_to(door, 1)
