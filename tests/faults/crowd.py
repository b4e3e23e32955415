"""Callers who ask for more memory than there is: many of the largest bodies at once, whole and never whole, over HTTP
and gRPC; connections that say nothing; shapes that promise what does not come.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, Final

import grpc.aio

from gateway.rpc.descriptors import MESSAGES
from gateway.rpc.service import INFERENCE
from tests.flows.models import MODEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH: Final = f"/v2/models/{MODEL}/infer"
PIECE: Final = bytes(256 << 10)
DRIP: Final = bytes(1024)
DRIP_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 60.0

PROMISED: Final = 1_000_000_000
"""Elements that a shape says, of which two come, or none."""

REFUSED: Final = {grpc.StatusCode.UNAVAILABLE: 503, grpc.StatusCode.INVALID_ARGUMENT: 400}


async def send_large(port: int, size: int, *, is_chunked: bool, is_whole: bool) -> int:
    """Send a body of *size* bytes with a binary tensor, or half of it and then next to nothing for ever.

    Return the status, 0 where the connection ended without one.
    """
    document = described([size // 8, 2], binary_bytes=size)
    length = "transfer-encoding: chunked" if is_chunked else f"content-length: {len(document) + size}"
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: gateway\r\n{length}\r\ninference-header-content-length: {len(document)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(reader.readline())
    framed = (lambda piece: b"%x\r\n%b\r\n" % (len(piece), piece)) if is_chunked else (lambda piece: piece)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            writer.write(head.encode() + framed(document))
            for sent in itertools.count(0, len(PIECE)):
                if answer.done() or (is_whole and sent >= size):
                    break
                has_slowed = not is_whole and sent >= size // 2
                writer.write(framed(DRIP if has_slowed else PIECE))
                await writer.drain()
                await asyncio.sleep(DRIP_SECONDS if has_slowed else 0)
            if is_chunked and not answer.done():
                writer.write(b"0\r\n\r\n")
            return int((await answer).split(b" ")[1])
    except (OSError, IndexError):
        return 0
    finally:
        answer.cancel()
        writer.close()


async def call_large(port: int, size: int) -> int:
    """Send a message of *size* bytes over gRPC; return what its code would be over HTTP."""
    message = MESSAGES["ModelInferRequest"](model_name=MODEL, raw_input_contents=[bytes(size - 1024)])
    message.inputs.add(name="x", datatype="FP32", shape=[(size - 1024) // 8, 2])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_retries", 0)]) as channel:
        try:
            await channel.unary_unary(f"/{INFERENCE}/ModelInfer")(message.SerializeToString(), timeout=PATIENCE_SECONDS)
        except grpc.aio.AioRpcError as exc:
            return REFUSED[exc.code()]
    return 200


async def storm(port: int, grpc_port: int, size: int) -> Counter[int]:
    """Have a hundred callers send the largest body at once, half of them without an end; count the statuses."""
    callers = [
        *(send_large(port, size, is_chunked=number % 2 == 0, is_whole=False) for number in range(50)),
        *(send_large(port, size, is_chunked=number % 4 == 0, is_whole=True) for number in range(40)),
        *(call_large(grpc_port, size) for _ in range(10)),
    ]
    return Counter(await asyncio.gather(*callers))


async def promise_too_much(port: int) -> Counter[int]:
    """Send shapes of PROMISED elements, in JSON and binary, until cancelled by leaving; return the statuses so far."""
    statuses: Counter[int] = Counter()
    spoken = json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [PROMISED, 2], "data": [1, 2]}]}
    ).encode()
    binary = described([PROMISED, 2], binary_bytes=8)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body, more in ((spoken, ""), (binary + bytes(8), f"inference-header-content-length: {len(binary)}\r\n")) * 100:
        writer.write(f"POST {PATH} HTTP/1.1\r\nhost: g\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body)
        answered = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(answered.partition(b"content-length: ")[2].split(b"\r")[0]))
        statuses[int(answered.split(b" ")[1])] += 1
        await asyncio.sleep(0.01)
    writer.close()
    return statuses


@contextlib.asynccontextmanager
async def silent(port: int, many: int) -> AsyncIterator[None]:
    """Hold so many connections that say nothing."""
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(many)]
    yield
    for _, writer in opened:
        writer.close()


def described(shape: list[int], *, binary_bytes: int) -> bytes:
    """Return the JSON before a binary tensor."""
    tensor = {"name": "x", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": binary_bytes}}
    return json.dumps({"inputs": [tensor]}).encode()
