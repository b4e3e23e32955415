"""The services of the gRPC door: which method is answered by what.

Methods that are not here are UNIMPLEMENTED. Requests of inference arrive as bytes and are parsed in the call,
so that what cannot be parsed is refused and counted like any other mistake of a caller.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from gateway import __version__
from gateway.core.errors import GatewayError, InvalidRequest, UnknownModel
from gateway.rpc.bounded import BoundedCall
from gateway.rpc.call import Call, request_id
from gateway.rpc.codec import RpcCodec
from gateway.rpc.descriptors import HEALTH_MESSAGES, MESSAGES
from gateway.rpc.extensions import Extensions
from gateway.rpc.feedback import MESSAGES as FEEDBACK_MESSAGES
from gateway.rpc.feedback import METHOD as FEEDBACK_METHOD
from gateway.rpc.feedback import SERVICE as FEEDBACK
from gateway.rpc.feedback import FeedbackService
from gateway.rpc.heads import literal, literals
from gateway.rpc.problems import problem
from gateway.rpc.reflection import METHOD as REFLECTION_METHOD
from gateway.rpc.reflection import SERVICES as REFLECTIONS
from gateway.rpc.reflection import Reflection
from gateway.rpc.status import Status
from gateway.rpc.stream import Errand
from gateway.serving.codec import bounds_of
from gateway.serving.description import EXTENSIONS, PLATFORM, SERVER, Description
from gateway.serving.exchange import Codecs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.models.catalog import Catalog
    from gateway.ports.labels import Feedback
    from gateway.ports.metrics import Statistics
    from gateway.ports.workers import RepositoryControl
    from gateway.rpc.call import Reply
    from gateway.rpc.stream import Method, Ongoing, Stream
    from gateway.serving.exchange import Traffic
    from gateway.serving.live import Arm

log = logging.getLogger(__name__)

INFERENCE: Final = "inference.GRPCInferenceService"
HEALTH: Final = "grpc.health.v1.Health"
SERVING: Final = 1
NOT_SERVING: Final = 2


class Single:
    """A method of one message and one answer."""

    is_conversation = False

    def __init__(self, begin: Callable[[Stream, bytes], Ongoing | None]) -> None:
        self.begin = begin


class Service:
    """Answers the methods of one worker."""

    def __init__(
        self,
        traffic: Traffic,
        catalog: Catalog,
        not_ready: Callable[[], Mapping[str, str]],
        control: RepositoryControl,
        statistics: Statistics,
        feedback: Feedback | None = None,
    ) -> None:
        """*feedback* is None where it is off."""
        self._traffic = traffic
        self._described = Description(traffic.table, traffic.lanes, catalog)
        self._extensions = Extensions(self._described, control, statistics)
        self._feedback = FeedbackService(self._described, feedback)
        self._not_ready = not_ready
        self._codecs = Codecs(lambda version: RpcCodec(version, bounds_of(version, traffic.limits)))

    def methods(self) -> dict[bytes, Method]:
        """Return path → what answers it."""
        infer = self._model_infer if self._traffic.callers is None else self._bounded_infer
        single: dict[str, Callable[[Stream, bytes], Ongoing | None]] = {f"{INFERENCE}/ModelInfer": infer}
        for name in DESCRIBING:
            answer = getattr(self, _attribute(name))
            single[f"{INFERENCE}/{name}"] = partial(self._describe, answer, MESSAGES[f"{name}Request"])
        for name in EXTENDING:
            answer = getattr(self._extensions, _attribute(name).removeprefix("_"))
            single[f"{INFERENCE}/{name}"] = partial(self._send, answer, MESSAGES[f"{name}Request"])
        single[f"{HEALTH}/Check"] = partial(self._describe, self._check, HEALTH_MESSAGES["HealthCheckRequest"])
        send = partial(self._send, self._feedback.send, FEEDBACK_MESSAGES["SendRequest"])
        single[f"{FEEDBACK}/{FEEDBACK_METHOD}"] = send
        reflection = Reflection([INFERENCE, HEALTH, FEEDBACK])
        return {
            **{f"/{path}".encode(): Single(begin) for path, begin in single.items()},
            **{f"/{service}/{REFLECTION_METHOD}".encode(): reflection for service in REFLECTIONS},
        }

    # ---- inference

    def _model_infer(self, stream: Stream, body: bytes) -> Ongoing:
        call = Call(self._traffic, self._codecs, stream.metadata, stream.remaining(), partial(_give, stream))
        call.run(body)
        return call

    def _bounded_infer(self, stream: Stream, body: bytes) -> Ongoing:
        call = BoundedCall(self._traffic, self._codecs, stream, partial(_give, stream))
        call.run(body)
        return call

    # ---- what describes

    def _describe(self, answer: Callable[[Any], Any], kind: Any, stream: Stream, body: bytes) -> None:
        """Answer a method that is not inference, at once: its errors come from the same table."""
        called = request_id(self._traffic, stream.metadata)
        try:
            said = answer(_read(kind, body))
        except Exception as exc:  # the outermost door: nobody above can answer this caller
            _refuse(stream, called, exc)
        else:
            stream.answer(_headers(None, called), said.SerializeToString())

    def _send(self, answer: Callable[[Any, Stream], Awaitable[Any]], kind: Any, stream: Stream, body: bytes) -> Ongoing:
        """Answer a method that waits for others, with a task."""
        called = request_id(self._traffic, stream.metadata)

        async def run() -> None:
            try:
                async with asyncio.timeout(stream.remaining()):
                    said = await answer(_read(kind, body), stream)
            except TimeoutError:
                stream.refuse(_headers(None, called), Status.DEADLINE_EXCEEDED, "the deadline passed before an answer")
            except Exception as exc:  # the outermost door: nobody above can answer this caller
                _refuse(stream, called, exc)
            else:
                stream.answer(_headers(None, called), said.SerializeToString())

        return Errand(asyncio.create_task(run()))

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


def _attribute(method: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in method)


def _give(stream: Stream, reply: Reply) -> None:
    """Send what came of an inference."""
    headers = _headers(reply.arm, reply.called)
    if reply.code is None:
        stream.answer(headers, reply.body)
    else:
        stream.refuse(headers, reply.code, reply.text)


def _refuse(stream: Stream, called: str, error: Exception) -> None:
    if not isinstance(error, GatewayError):
        log.error("a request failed in the gateway", exc_info=error, extra={"request_id": called})
    code, _, text = problem(error if isinstance(error, GatewayError) else None)
    stream.refuse(_headers(None, called), code, text)


def _read(kind: Any, body: bytes) -> Any:
    """Return the message. Raises InvalidRequest."""
    try:
        return kind.FromString(body)
    except DecodeError:
        raise InvalidRequest(f"the message is not a {kind.DESCRIPTOR.name}", "invalid_request") from None


def _headers(arm: Arm | None, called: str) -> bytes:
    chosen = b"" if arm is None else literals(arm.headers)
    return chosen + literal(b"x-request-id", called.encode())
