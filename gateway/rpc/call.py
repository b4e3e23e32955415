"""One ModelInfer, from its bytes to its answer; what every protocol shares is in ``serving/exchange.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from gateway.core import outcomes
from gateway.core.errors import GatewayError, InvalidRequest, UnknownModel, UnknownVersion
from gateway.core.names import version_number
from gateway.rpc.codec import RpcCodec, given_inputs
from gateway.rpc.descriptors import MESSAGES
from gateway.rpc.problems import problem
from gateway.serving.exchange import Codecs, Exchange
from gateway.serving.parameters import check_count, check_id, check_parameters, key_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.ports.engine import Tensor
    from gateway.rpc.status import Status
    from gateway.serving.exchange import Traffic
    from gateway.serving.live import Arm
    from gateway.serving.parameters import Parameter

    Metadata = Sequence[tuple[str, bytes]]

HANGING_UP_SECONDS: Final = 0.05
"""A caller whose deadline passes hangs up itself, a moment before that deadline is over here."""


class CallValues:
    """Implements ``core.routing.Values``: headers are metadata; a call has no cookies and no query."""

    __slots__ = ("_metadata", "_parameters")

    def __init__(self, metadata: Metadata, parameters: Mapping[str, Parameter]) -> None:
        self._metadata = metadata
        self._parameters = parameters

    def __call__(self, kind: str, name: str) -> Sequence[bytes]:
        """Return every value of the source."""
        if kind == "header":
            return [value for key, value in self._metadata if key == name]
        return key_values(self._parameters, name) if kind == "parameter" else []


class Reply:
    """What goes back: a body, or a status and its text; *called* is the request id."""

    __slots__ = ("arm", "body", "called", "code", "text")

    def __init__(self, arm: Arm | None, called: str, body: bytes, code: Status | None = None, text: str = "") -> None:
        self.arm = arm
        self.called = called
        self.body = body
        self.code = code
        self.text = text


class Call(Exchange[Reply]):
    """One ModelInfer."""

    __slots__ = ("_codecs", "_is_raw", "_metadata", "_outputs")

    DOOR = "grpc"

    def __init__(
        self,
        traffic: Traffic,
        codecs: Codecs[RpcCodec],
        metadata: Metadata,
        remaining: float | None,
        reply: Callable[[Reply], None],
    ) -> None:
        """*remaining*: seconds until the caller no longer waits, None where it did not say."""
        super().__init__(traffic, "", None, reply)
        self._codecs = codecs
        self._metadata = metadata
        self._outputs: Sequence[Any] = ()
        self._is_raw = False
        self._request_id = request_id(traffic, metadata)
        self._deadline = traffic.clock() + (traffic.timeout if remaining is None else remaining)

    def run(self, body: bytes) -> None:
        """Answer the request, now or when its batch has run."""
        try:
            self._run(body)
        except Exception as exc:  # the outermost door: nobody above can answer this caller
            self.refuse(exc)

    def gone(self) -> None:
        """The caller hung up; one that did so at its deadline was not answered in time."""
        late = self._inference.clock() > self._deadline - HANGING_UP_SECONDS
        if late and self._attempt is not None:
            self._attempt.cancel()
            self._end(outcomes.TIMEOUT, None)
        else:
            super().gone()

    def _run(self, body: bytes) -> None:
        try:
            request = MESSAGES["ModelInferRequest"].FromString(body)
        except DecodeError:
            raise InvalidRequest("the message is not a ModelInferRequest", "invalid_request") from None
        self._model = request.model_name
        self._version = named_version(self._model, request.model_version)
        self._inference.find(self._model, self._version)
        check_id(request.id)
        parameters = {name: _value(given) for name, given in request.parameters.items()}
        check_count(parameters, self._inference.limits.parameters)
        check_parameters(parameters)
        if self._version is None:
            arm = self._routed(CallValues(self._metadata, parameters))
        else:
            arm = self._pinned(self._version)
        self._id = request.id or self._request_id
        codec = self._codecs.of(arm.lane)
        codec.wanted(request.outputs)
        self._outputs = request.outputs
        inputs, self._is_raw = given_inputs(request)
        feeds, rows = codec.read(inputs)
        self._start(arm, feeds, rows, parameters)

    def _answer(self, arm: Arm, outputs: Sequence[Tensor]) -> Reply:
        codec = self._codecs.of(arm.lane)
        body = codec.write(outputs, codec.wanted(self._outputs), self._id, raw=self._is_raw)
        return Reply(arm, self._request_id, body)

    def _refusal(self, error: GatewayError | None) -> tuple[int, Reply]:
        code, outcome, text = problem(error)
        return outcome, Reply(self._arm, self._request_id, b"", code, text)

    def _status(self, answer: Reply) -> int:
        return 0 if answer.code is None else int(answer.code)

    def _heard(self, name: str) -> Sequence[bytes]:
        return [value for key, value in self._metadata if key == name]


def request_id(traffic: Traffic, metadata: Metadata) -> str:
    """Return the caller's ``x-request-id`` where it can be used, else a new one."""
    return traffic.request_id(next((value for key, value in metadata if key == "x-request-id"), None))


def named_version(model: str, text: str) -> int | None:
    """Return the version that a message names, None for "by the route". Raises UnknownModel, UnknownVersion."""
    if not model:
        raise UnknownModel(model)
    version = version_number(text) if text else None
    if text and version is None:
        raise UnknownVersion(model, text)
    return version


def _value(given: Any) -> Parameter:
    chosen = given.WhichOneof("parameter_choice")
    value: Parameter = getattr(given, chosen) if chosen is not None else ""
    return value
