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
        await self._server.stop(FINISH_SECONDS)

    def stop(self) -> None:
        """Stop accepting and let ``run`` end."""
        self._stopped.set()
