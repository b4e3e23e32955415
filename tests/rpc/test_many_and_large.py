"""Many calls at once, large tensors and packed channels, with the client that people have."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc.aio
import numpy as np

from gateway.core.signature import Signature, TensorSpec
from gateway.rpc.descriptors import MESSAGES
from gateway.rpc.service import INFERENCE
from tests.rpc.door import RpcDoor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ECHO = Signature((TensorSpec("x", "FP32", (1, -1)),), (TensorSpec("y", "FP32", (1, -1)),))
METHOD = f"/{INFERENCE}/ModelInfer"
ALONE = ("grpc.use_local_subchannel_pool", 1)
LARGE = [("grpc.max_receive_message_length", -1), ALONE]


@asynccontextmanager
async def echoing() -> AsyncIterator[RpcDoor]:
    door = RpcDoor(timeout=60.0, max_body=64 << 20)
    door.floor.held.hold("fraud", 3, lambda feeds: [feeds["x"]], signature=ECHO)
    await door.open()
    yield door
    await door.close()


def asking(tensor: Any) -> bytes:
    made = MESSAGES["ModelInferRequest"](model_name="fraud", model_version="3")
    made.inputs.add(name="x", datatype="FP32", shape=tensor.shape)
    made.raw_input_contents.append(tensor.tobytes())
    return bytes(made.SerializeToString())


def told(answer: bytes) -> Any:
    return np.frombuffer(MESSAGES["ModelInferResponse"].FromString(answer).raw_output_contents[0], np.float32)


def numbered(number: int) -> Any:
    return np.full((1, 30), number, np.float32)


async def echoes(channel: grpc.aio.Channel, number: int) -> None:
    for step in range(5):
        answer = await channel.unary_unary(METHOD)(asking(numbered(100 * number + step)), timeout=60)
        assert set(told(answer).tolist()) == {100 * number + step}


async def test_64_calls_at_once_on_one_connection_each_get_their_own_answer() -> None:
    async with echoing() as door, grpc.aio.insecure_channel(door.address, [ALONE]) as channel:
        await asyncio.gather(*(echoes(channel, number) for number in range(64)))

        assert door.server.connections() == 2  # the door's own client is the other


async def test_64_connections_each_get_their_own_answer() -> None:
    async with echoing() as door, AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(door.address, [ALONE])) for _ in range(64)
        ]
        await asyncio.gather(*(echoes(channel, number) for number, channel in enumerate(channels)))

        assert door.server.connections() == 65


async def test_tensors_of_20_mb_go_both_ways_several_at_once() -> None:
    async with echoing() as door, grpc.aio.insecure_channel(door.address, LARGE) as channel:
        tensors = [np.random.default_rng(seed).random((1, 5_000_000), np.float32) for seed in range(4)]

        answers = await asyncio.gather(*(channel.unary_unary(METHOD)(asking(t), timeout=60) for t in tensors))

        for tensor, answer in zip(tensors, answers, strict=True):
            assert np.array_equal(told(answer), tensor.ravel())


async def test_a_channel_that_packs_is_served() -> None:
    async with echoing() as door, grpc.aio.insecure_channel(door.address, LARGE, grpc.Compression.Gzip) as channel:
        for tensor in (numbered(1), np.random.default_rng(1).random((1, 1_000_000), np.float32)):
            answer = await channel.unary_unary(METHOD)(asking(tensor), timeout=60)

            assert np.array_equal(told(answer), tensor.ravel())
