"""One gRPC server on the event loop of a worker, on a port that all workers share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import grpc.aio

from gateway.core.errors import InvalidSettings

if TYPE_CHECKING:
    from gateway.rpc.service import Service

FINISH_SECONDS: Final = 30
"""How long a stop waits for what is in flight."""

ARRIVE_SECONDS: Final = 0.1
"""How long a stop goes on taking calls while it holds the answers, so that busy callers all come to wait for one."""

GOODBYE_SECONDS: Final = 0.05
"""How long it holds them after it told the callers to leave, so that they have heard it before they call again."""


class GrpcServer:
    """Serves the methods of one ``Service``."""

    def __init__(self, service: Service, host: str, port: int, *, max_body: int) -> None:
        """*port* is held by the launcher, which proved it free; *max_body* (bytes) bounds a message."""
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", max_body),
                ("grpc.max_send_message_length", -1),
            ]
        )
        self._server.add_generic_rpc_handlers(service.handlers())
        self._service = service
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Serve until ``stop``, then finish what is in flight."""
        try:
            self._server.add_insecure_port(self._address)
        except RuntimeError as exc:
            raise InvalidSettings(f"cannot listen on {self._address} (--grpc-port): {exc}") from exc
        await self._server.start()
        await self._stopped.wait()
        await self._leave()

    async def _leave(self) -> None:
        """Stop such that no caller begins a call between the end of the accepting and the word of it.

        gRPC's core kills, as CANCELLED, what arrives after its stop and before the caller has heard of that. It has
        no way to say so first. But a caller that waits for an answer calls nothing, so the answers are held meanwhile.
        """
        self._service.hold()
        await asyncio.sleep(ARRIVE_SECONDS)
        stopping = asyncio.create_task(self._server.stop(FINISH_SECONDS))
        await asyncio.sleep(GOODBYE_SECONDS)
        self._service.release()
        await stopping

    def stop(self) -> None:
        """Stop accepting and let ``run`` end."""
        self._stopped.set()
