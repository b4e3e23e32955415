"""Server reflection: what the door offers, for callers who have no .proto file, such as ``grpcurl``.

The library is imported with the first such call: nearly no caller makes one. It knows ``v1alpha`` only, whose messages
are those of ``v1`` under another name, so both services are answered by it.

Source: gRPC Server Reflection Protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc

from gateway.rpc.descriptors import POOL

if TYPE_CHECKING:
    from collections.abc import Sequence

METHODS: Final = frozenset(
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")
)


class Reflection(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no annotations
    """Answers both reflection services about the services that are named."""

    def __init__(self, services: Sequence[str]) -> None:
        """*services*: their full names; each is described in ``descriptors.POOL``."""
        self._services = services
        self._method: Any = None

    def service(self, details: Any) -> Any:
        """Return what answers the call, None where it is no reflection."""
        if details.method not in METHODS:
            return None
        self._method = self._method or self._answering()
        return self._method

    def _answering(self) -> Any:
        from grpc_reflection.v1alpha import reflection, reflection_pb2

        servicer = reflection.aio.ReflectionServicer(self._services, pool=POOL)
        return grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
