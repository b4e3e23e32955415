"""Callers over gRPC who open a channel for each call, so that the kernel spreads them over the workers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio

from tests.flows.test_grpc import INFER, SHARED, message

if TYPE_CHECKING:
    from types import TracebackType

EVERY_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 20.0


class NewChannels:
    """Calls one port when a call is due, whether or not earlier ones were answered, from entering to leaving."""

    def __init__(self, port: int) -> None:
        self._address = f"127.0.0.1:{port}"
        self._body = message()
        self._calling: asyncio.Task[None] | None = None
        self._under_way: list[asyncio.Task[None]] = []
        self.waited: list[float] = []
        """Seconds from when each was due to its answer, or to its failure."""
        self.faults: list[str] = []

    async def __aenter__(self) -> NewChannels:
        self._calling = asyncio.create_task(self._keep_calling())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._calling is not None
        self._calling.cancel()
        await asyncio.gather(self._calling, return_exceptions=True)
        await asyncio.gather(*self._under_way)

    async def _keep_calling(self) -> None:
        due = time.monotonic()
        while True:
            self._under_way.append(asyncio.create_task(self._call(due)))
            due += EVERY_SECONDS
            await asyncio.sleep(due - time.monotonic())

    async def _call(self, due: float) -> None:
        try:
            async with grpc.aio.insecure_channel(self._address, SHARED) as channel:
                await channel.unary_unary(INFER)(self._body, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as failed:
            self.faults.append(str(failed))
        self.waited.append(time.monotonic() - due)
