"""Open-loop callers over every protocol; each holds a row of its own and must get it back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tests.flows.load import Connection
from tests.flows.models import MODEL, request
from tests.soak.ledger import BROKEN, RIGHT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tests.soak.ledger import Ledger

    Send = Callable[[int], Awaitable[str]]

TIMEOUT_SECONDS: Final = 20.0
INFER: Final = f"/v2/models/{MODEL}/infer"
HANG_SECONDS: Final = 3.0
AGAIN_SECONDS: Final = 1.0
SENT_AGAIN: Final = 10
"""So often a label is sent again that was refused with 503: longer than the store is frozen."""

BAD: Final = (
    b"", b"{", b"[]", b'{"inputs": []}', b'{"inputs": [{"name": "x"}]}', b"\xff\xfe", b"[" * 5000,
    json.dumps(request(["a", 1])).encode(),  # type: ignore[list-item]  # that is what is wrong with it
    json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2**40, 2], "data": [1, 2]}]}).encode(),
    json.dumps({"inputs": [{"name": "nobody", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}).encode(),
)  # fmt: skip


class Pool:
    """Connections that are kept and used again, as any client library does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = await self._take()
        try:
            answer = await connection.post(path, body, headers)
        except BaseException:
            await connection.aclose()
            raise
        if connection.is_open():
            self._idle.append(connection)
        else:
            await connection.aclose()
        return answer

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open():
                return connection
            await connection.aclose()
        return await Connection.open(self._port)

    async def aclose(self) -> None:
        for connection in self._idle:
            await connection.aclose()


def row_of(number: int) -> list[float]:
    return [float(number % 65536), float(number % 97)]


class Callers:
    """One sender per kind of caller. Each returns RIGHT, or what was wrong."""

    def __init__(self, port: int, grpc_port: int, ledger: Ledger, seed: int) -> None:
        import tritonclient.grpc.aio as triton

        self._port = port
        self._pool = Pool(port)
        self._triton = triton
        self._rpc = triton.InferenceServerClient(f"127.0.0.1:{grpc_port}")
        self._random = random.Random(seed)
        self._ledger = ledger

    async def aclose(self) -> None:
        await self._pool.aclose()
        await self._rpc.close()

    def senders(self) -> dict[str, tuple[float, Send]]:
        """Return name → requests per second and sender."""
        return {
            "json": (60.0, self.json),
            "binary": (20.0, self.binary),
            "grpc": (15.0, self.grpc),
            "v1": (10.0, self.v1),
            "feedback": (5.0, self.feedback),
            "bad": (6.0, self.bad),
            "hanging": (1.0, self.hanging),
        }

    async def json(self, number: int) -> str:
        row = row_of(number)
        status, _, body = await self._pool.post(INFER, json.dumps(request(row)).encode(), {})
        return _same(status, body, row)

    async def binary(self, number: int) -> str:
        row = np.array([row_of(number)], np.float32)
        entry = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": row.nbytes}}
        asked = [{"name": "y", "parameters": {"binary_data": True}}]
        head = json.dumps({"inputs": [entry], "outputs": asked}).encode()
        named = {"inference-header-content-length": str(len(head))}
        status, answered, body = await self._pool.post(INFER, head + row.tobytes(), named)
        if status != 200:
            return f"{status}: {body[:200]!r}"
        came = np.frombuffer(body[int(answered["inference-header-content-length"]) :], np.float32)
        return RIGHT if np.array_equal(came, row[0]) else f"{row} came back as {came}"

    async def grpc(self, number: int) -> str:
        triton, row = self._triton, np.array([row_of(number)], np.float32)
        tensor = triton.InferInput("x", row.shape, "FP32")
        tensor.set_data_from_numpy(row)
        try:
            answer = await self._rpc.infer(MODEL, [tensor], client_timeout=TIMEOUT_SECONDS)
        except Exception as exc:  # the client wraps what it meets in one class of its own
            return f"{BROKEN if 'UNAVAILABLE' in str(exc) else ''}{exc}"
        came = answer.as_numpy("y")
        return RIGHT if np.array_equal(came, row) else f"{row} came back as {came}"

    async def v1(self, number: int) -> str:
        row = row_of(number)
        body = json.dumps({"instances": [{"x": row}]}).encode()
        status, _, answer = await self._pool.post(f"/v1/models/{MODEL}:predict", body, {})
        if status != 200:
            return f"{status}: {answer[:200]!r}"
        came = json.loads(answer)["predictions"][0]["y"]
        return RIGHT if came == row else f"{row} came back as {came}"

    async def feedback(self, number: int) -> str:
        row, name = row_of(number), f"soak-{number}"
        asked = {**request(row), "id": name}
        status, _, body = await self._pool.post(INFER, json.dumps(asked).encode(), {})
        if wrong := _same(status, body, row):
            return wrong
        await asyncio.sleep(0.5)  # what was served is written ten times a second
        status, body = await self._label(name)
        for _ in range(SENT_AGAIN):
            if status != 503:
                break
            self._ledger.sent_again += 1  # as a 503 asks for; what was counted is a duplicate then
            await asyncio.sleep(AGAIN_SECONDS)
            status, body = await self._label(name)
        return RIGHT if status == 202 else f"feedback {status}: {body[:200]!r}"

    async def _label(self, name: str) -> tuple[int, bytes]:
        said = json.dumps({"id": name, "reward": 1.0}).encode()
        status, _, body = await self._pool.post(f"/v2/models/{MODEL}/feedback", said, {})
        return status, body

    async def bad(self, number: int) -> str:
        status, _, body = await self._pool.post(INFER, BAD[number % len(BAD)], {})
        if not 400 <= status < 500:
            return f"{status} for bad input {number % len(BAD)}: {body[:200]!r}"
        return RIGHT if json.loads(body).get("error") else f"an error without a sentence: {body[:200]!r}"

    async def hanging(self, number: int) -> str:
        """Send half a request, wait, and leave with a reset."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(f"POST {INFER} HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\n{'{' * 50}".encode())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), self._random.random() * HANG_SECONDS)
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
        return RIGHT


def _same(status: int, body: bytes, row: list[float]) -> str:
    if status != 200:
        return f"{status}: {body[:200]!r}"
    outputs: dict[str, Any] = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
    return RIGHT if outputs["y"] == row else f"{row} came back as {outputs['y']}"


async def send_forever(name: str, rate: float, send: Send, ledger: Ledger) -> None:
    """Send when a request is due, whether or not earlier ones were answered; wait for all of them when cancelled."""
    under_way: set[asyncio.Task[None]] = set()
    began, number = time.monotonic(), 0
    try:
        while True:
            due = began + number / rate
            await asyncio.sleep(due - time.monotonic())
            task = asyncio.create_task(_one(name, send, number, due, ledger))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
    finally:
        await asyncio.gather(*under_way)


async def _one(name: str, send: Send, number: int, due: float, ledger: Ledger) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            text = await send(number)
    except (OSError, EOFError) as exc:
        text = f"{BROKEN}{exc!r}"
    except TimeoutError:
        text = f"no answer in {TIMEOUT_SECONDS:g} s"
    ledger.note(name, due, text)
