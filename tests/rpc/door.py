"""A fake worker that listens with gRPC, beside its ASGI application, and a caller that speaks the messages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc.aio
import numpy as np

from gateway.core.callers import callers_within
from gateway.core.limits import DEFAULT, Limits
from gateway.processes.sockets import open_sockets
from gateway.rpc.descriptors import HEALTH_MESSAGES, MESSAGES
from gateway.rpc.feedback import MESSAGES as FEEDBACK_MESSAGES
from gateway.rpc.feedback import SERVICE as FEEDBACK
from gateway.rpc.server import GrpcServer
from gateway.rpc.service import HEALTH, INFERENCE, Service
from gateway.serving.bodies import Bodies
from tests.rest.door import FakeDoor, send_all_to

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class Said:
    """What came back of a call: a message, or a code and its details."""

    code: grpc.StatusCode
    details: str
    metadata: Mapping[str, str]
    message: Any = None


class RpcDoor(FakeDoor):
    """Versions that are Python functions, behind both doors of one worker."""

    def __init__(
        self, *, limits: Limits = DEFAULT, desk: Any = None, tls: ssl.SSLContext | None = None, **how: Any
    ) -> None:
        """*desk* takes feedback over gRPC; None where it is off."""
        super().__init__(**how)
        self.inference.limits = limits
        self.inference.bodies = Bodies(limits.held_bytes)
        self.inference.callers = callers_within(limits)
        self.floor.held.hold("fraud", 1, lambda feeds: [feeds["x"] + 100])
        self.floor.held.hold("fraud", 2)
        send_all_to(self, 1)
        [self._port] = open_sockets(LOCAL, 0, 1, "--grpc-port")
        self.port = self._port.getsockname()[1]
        self.address = f"{LOCAL}:{self.port}"
        self.reasons: dict[str, str] = {}
        self.service = Service(
            self.inference, self.floor.catalog, lambda: self.reasons, self.control, self.statistics, desk
        )
        self.server = GrpcServer(self.service, self.inference, self._port, tls)

    async def open(self) -> None:
        self.serving = asyncio.create_task(self.server.run())
        self.channel = grpc.aio.insecure_channel(self.address)
        await self.channel.channel_ready()

    async def close(self) -> None:
        await self.channel.close()
        self.server.stop()
        await self.serving
        self._port.close()

    async def call(
        self,
        method: str,
        request: Any,
        answer: str | None = None,
        *,
        metadata: Sequence[tuple[str, str]] = (),
        seconds: float | None = 20.0,
        service: str = INFERENCE,
    ) -> Said:
        """Call *method* with a message or bytes; *answer* names the message that is read, else the method's own."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        made = self.channel.unary_unary(f"/{service}/{method}")(body, metadata=tuple(metadata), timeout=seconds)
        try:
            messages = {HEALTH: HEALTH_MESSAGES, FEEDBACK: FEEDBACK_MESSAGES}.get(service, MESSAGES)
            read = messages[answer or f"{method}Response"]
            message = read.FromString(await made)
        except grpc.aio.AioRpcError as failed:
            return Said(failed.code(), failed.details() or "", dict(failed.initial_metadata() or ()))
        return Said(await made.code(), "", dict(await made.initial_metadata()), message)

    async def infer_message(self, request: Any, **how: Any) -> Said:
        """Call ModelInfer."""
        return await self.call("ModelInfer", request, **how)


def message(model: str = "fraud", version: str = "", *, raw: bool = True, **members: Any) -> Any:
    """Return a ModelInferRequest with one row, 1 and 2, that the fake versions answer."""
    made = MESSAGES["ModelInferRequest"](model_name=model, model_version=version, **members)
    given = made.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    if raw:
        made.raw_input_contents.append(np.array([1, 2], np.float32).tobytes())
    else:
        given.contents.fp32_contents.extend([1, 2])
    return made


def numbers(said: Said) -> list[float]:
    """Return what the first output of a raw answer holds."""
    assert said.code is grpc.StatusCode.OK, said
    return list(np.frombuffer(said.message.raw_output_contents[0], np.float32).tolist())
