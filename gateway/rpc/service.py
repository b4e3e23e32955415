"""The services of the gRPC door: which method is answered by what.

Methods that are not here are UNIMPLEMENTED. Requests of inference arrive as bytes and are parsed in the call,
so that what cannot be parsed is refused and counted like any other mistake of a caller.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import grpc

from gateway import __version__
from gateway.core.errors import GatewayError, UnknownModel
from gateway.rpc.call import Call, request_id
from gateway.rpc.codec import RpcCodec
from gateway.rpc.descriptors import HEALTH_MESSAGES, MESSAGES
from gateway.rpc.extensions import Extensions
from gateway.rpc.problems import problem
from gateway.rpc.reflection import Reflection
from gateway.serving.codec import bounds_of
from gateway.serving.description import EXTENSIONS, PLATFORM, SERVER, Description
from gateway.serving.exchange import Codecs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.models.catalog import Catalog
    from gateway.ports import RepositoryControl, Statistics
    from gateway.rpc.call import Reply
    from gateway.serving.exchange import Traffic
    from gateway.serving.live import Arm

log = logging.getLogger(__name__)

INFERENCE: Final = "inference.GRPCInferenceService"
HEALTH: Final = "grpc.health.v1.Health"
SERVING: Final = 1
NOT_SERVING: Final = 2


class Service:
    """Answers the methods of one worker."""

    def __init__(
        self,
        traffic: Traffic,
        catalog: Catalog,
        not_ready: Callable[[], Mapping[str, str]],
        control: RepositoryControl,
        statistics: Statistics,
    ) -> None:
        self._traffic = traffic
        self._described = Description(traffic.table, traffic.lanes, catalog)
        self._extensions = Extensions(self._described, control, statistics)
        self._not_ready = not_ready
        self._codecs = Codecs(lambda version: RpcCodec(version, bounds_of(version, traffic.limits)))
        self._held: asyncio.Event | None = None
        """Where answers wait while the door closes."""

    def hold(self) -> None:
        """Answer nobody until ``release``."""
        self._held = asyncio.Event()

    def release(self) -> None:
        """Give the answers that were held."""
        if self._held is not None:
            self._held.set()

    def handlers(self) -> list[Any]:
        """Return what a server registers: a handler for each service."""
        methods: dict[str, Any] = {
            name: self._unary(_with_context(getattr(self, _attribute(name))), MESSAGES[f"{name}Request"])
            for name in DESCRIBING
        }
        for name in EXTENDING:
            answer = getattr(self._extensions, _attribute(name).removeprefix("_"))
            methods[name] = self._unary(answer, MESSAGES[f"{name}Request"])
        methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._model_infer)
        health = {"Check": self._unary(_with_context(self._check), HEALTH_MESSAGES["HealthCheckRequest"])}
        return [
            grpc.method_handlers_generic_handler(INFERENCE, methods),
            grpc.method_handlers_generic_handler(HEALTH, health),
            Reflection([INFERENCE, HEALTH]),
        ]

    # ---- inference

    async def _model_infer(self, body: bytes, context: Any) -> bytes:
        replied: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        metadata = context.invocation_metadata()
        call = Call(self._traffic, self._codecs, metadata, context.time_remaining(), replied.set_result)
        try:
            call.run(body)
            reply = await replied
        except asyncio.CancelledError:
            call.gone()
            raise
        if self._held is not None:
            await self._held.wait()
        await context.send_initial_metadata(_headers(reply.arm, call.called))
        if reply.code is not None:
            await context.abort(reply.code, reply.text)
        return reply.body

    # ---- what describes

    def _unary(self, answer: Callable[[Any, Any], Awaitable[Any]], request: Any) -> Any:
        """Return the handler of a method that is not inference: its errors come from the same table."""

        async def handle(given: Any, context: Any) -> Any:
            called = request_id(self._traffic, context.invocation_metadata())
            if self._held is not None:
                await self._held.wait()
            await context.send_initial_metadata(_headers(None, called))
            try:
                return await answer(given, context)
            except Exception as exc:  # the outermost door: nobody above can answer this caller
                if not isinstance(exc, GatewayError):
                    log.exception("a request failed in the gateway", extra={"request_id": called})
                code, _, text = problem(exc if isinstance(exc, GatewayError) else None)
                failure = code, text
            return await context.abort(*failure)

        return grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=request.FromString, response_serializer=lambda made: made.SerializeToString()
        )

    def _server_live(self, _: Any) -> Any:
        return MESSAGES["ServerLiveResponse"](live=True)

    def _server_ready(self, _: Any) -> Any:
        return MESSAGES["ServerReadyResponse"](ready=not self._not_ready())

    def _server_metadata(self, _: Any) -> Any:
        return MESSAGES["ServerMetadataResponse"](name=SERVER, version=__version__, extensions=EXTENSIONS)

    def _model_ready(self, given: Any) -> Any:
        version = self._described.named(given.name, given.version or None)
        return MESSAGES["ModelReadyResponse"](ready=self._described.is_ready(given.name, version))

    def _model_metadata(self, given: Any) -> Any:
        described, name = self._described, given.name
        signature = described.signature(name, described.named(name, given.version or None))
        answer = MESSAGES["ModelMetadataResponse"](
            name=name, versions=described.ready_versions(name), platform=PLATFORM
        )
        for specs, tensors in ((signature.inputs, answer.inputs), (signature.outputs, answer.outputs)):
            for spec in specs:
                tensors.add(name=spec.name, datatype=spec.datatype, shape=spec.shape)
        return answer

    def _repository_index(self, given: Any) -> Any:
        answer = MESSAGES["RepositoryIndexResponse"]()
        for name, version, state, reason in self._described.index(only_ready=given.ready):
            answer.models.add(name=name, version=version, state=state, reason=reason)
        return answer

    def _check(self, given: Any) -> Any:
        """Answer a probe: serving is ready, as a probe that takes a worker out of the traffic wants it."""
        if given.service not in {"", INFERENCE}:
            raise UnknownModel(given.service)
        return HEALTH_MESSAGES["HealthCheckResponse"](status=NOT_SERVING if self._not_ready() else SERVING)


DESCRIBING: Final = (
    "ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "RepositoryIndex",
)  # fmt: skip
EXTENDING: Final = ("ModelConfig", "ModelStatistics", "RepositoryModelLoad", "RepositoryModelUnload")
METHODS: Final = (*DESCRIBING, *EXTENDING, "ModelInfer")


def _with_context(answer: Callable[[Any], Any]) -> Callable[[Any, Any], Awaitable[Any]]:
    """Return *answer*, which needs no more than the message, as one that is given the call's context too."""

    async def answered(given: Any, _: Any) -> Any:
        return answer(given)

    return answered


def _attribute(method: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in method)


def _headers(arm: Arm | None, called: str) -> list[tuple[str, str]]:
    chosen = () if arm is None else arm.headers
    return [*((name.decode(), value.decode()) for name, value in chosen), ("x-request-id", called)]
