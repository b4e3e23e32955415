"""One inference request, from its head to its answer, whatever carries its bytes.

Two doors drive it, the ASGI callable and the short cut past it, and both get the same answer because
everything but the reading and writing of bytes is here. The order matters: the model is found before
the body is read, the version before the data is decoded, and the table is looked at once, so that one
request sees one revision.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import time
from random import getrandbits
from typing import TYPE_CHECKING, Final

from gateway.core import outcomes
from gateway.core.errors import GatewayError, InvalidRequest, ModelFailed, RequestTooLarge, UnsupportedMediaType
from gateway.rest import envelope
from gateway.rest.json_codec import JsonCodec
from gateway.rest.lookup import HttpValues
from gateway.rest.problems import JSON, Problem
from gateway.serving.dispatch import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ports import Metrics, VersionCells
    from gateway.serving.batching import Lane, Result
    from gateway.serving.lanes import Lanes
    from gateway.serving.live import Arm, Headers, LiveTable

log = logging.getLogger(__name__)

READ: Final = frozenset(
    {b"x-request-id", b"x-request-timeout-ms", b"content-type", b"content-encoding", b"content-length"}
)
PRINTABLE: Final = re.compile(rb"[\x20-\x7e]{1,128}")
TIMEOUT_MS: Final = re.compile(rb"[1-9][0-9]{0,8}")

CONTENT_TYPES: Final = frozenset(
    {b"application/json", b"application/octet-stream", b"application/x-www-form-urlencoded"}
)
"""What is read as an inference request. The form type is what a bare ``curl -d`` sends; most clients send none."""


MAX_CONTENT_TYPE_BYTES: Final = 1024


class Answer:
    """What goes back to the caller, but for the headers that the HTTP layer owns."""

    __slots__ = ("arm", "body", "headers", "request_id", "status")

    def __init__(self, status: int, arm: Arm | None, headers: Headers, request_id: str, body: bytes) -> None:
        self.status = status
        self.arm = arm
        self.headers = headers
        self.request_id = request_id
        self.body = body


OK_HEADERS: Final[Headers] = (JSON,)


class Inference:
    """What all exchanges of this worker share."""

    def __init__(self, table: LiveTable, lanes: Lanes, metrics: Metrics, *, timeout: float, max_body: int) -> None:
        """*timeout* (seconds) holds for requests that bring none; *max_body* is in bytes."""
        self.table = table
        self.lanes = lanes
        self.timeout = timeout
        self.max_body = max_body
        self.clock = asyncio.get_running_loop().time
        self.in_flight = 0
        self.last_started = 0.0
        """When the last request began, on ``time.perf_counter``; 0 before any."""
        self.closing = False
        """Set while the worker drains: every answer then closes its connection."""
        self._ids = (f"{prefix}-{number:x}" for prefix in [os.urandom(6).hex()] for number in itertools.count(1))
        self.targets: dict[bytes, tuple[str, int | None]] = {}
        """What the URLs of inference requests name; filled by the short cut, which must not read them twice."""
        self._metrics = metrics
        self._codecs: dict[Lane, JsonCodec] = {}
        self._unrouted: dict[str, VersionCells] = {}

    def request_id(self, given: bytes | None) -> str:
        """Return the caller's request id where it is printable and short, else a new one."""
        return given.decode() if given and PRINTABLE.fullmatch(given) else next(self._ids)

    def codec(self, lane: Lane) -> JsonCodec:
        """Return the codec of a lane's version, made at its first use."""
        codec = self._codecs.get(lane)
        return codec if codec is not None else self._make_codec(lane)

    def _make_codec(self, lane: Lane) -> JsonCodec:
        self._codecs = {each: codec for each, codec in self._codecs.items() if not each.is_closed}
        version = lane.version
        codec = JsonCodec(
            version.model,
            version.version,
            version.signature,
            batchable=version.batchable,
            max_rows=version.metadata.serving.max_rows,
        )
        self._codecs[lane] = codec
        return codec

    def unrouted(self, model: str) -> VersionCells:
        """Return where a request is counted that never reached a version; invented names share one series."""
        known = model if model in self.table.routes else "_unknown"
        cells = self._unrouted.get(known)
        if cells is None:
            cells = self._unrouted[known] = self._metrics.version(known, "_none")
        return cells

    def find(self, model: str, version: int | None) -> None:
        """Refuse an unknown model or version. Raises UnknownModel, UnknownVersion, VersionUnavailable."""
        if version is not None:
            self.lanes.named(model, version)
        elif model not in self.table.routes:
            self.lanes.without_route(model)

    def closes(self, answer: Answer) -> bool:
        """Say whether the connection ends with *answer*: the worker drains, or a body that is too large still comes."""
        return self.closing or answer.status == 413

    def too_large(self) -> RequestTooLarge:
        """Return the refusal of a body over the limit."""
        return RequestTooLarge(f"the body is over {self.max_body} bytes; the operator can raise --max-body")


class Exchange:
    """One request and its answer: ``admit`` it, ``run`` it with its body; *reply* is called once, unless ``gone``."""

    __slots__ = (
        "_arm", "_attempt", "_deadline", "_headers", "_id", "_inference", "_model", "_output_names", "_query", "_reply",
        "_request_id", "_started", "_version",
    )  # fmt: skip

    def __init__(
        self,
        inference: Inference,
        model: str,
        version: int | None,
        headers: Sequence[tuple[bytes, bytes]],
        query: bytes,
        reply: Callable[[Answer], None],
    ) -> None:
        """*version* is set where the path names one; header names are lower-case."""
        self._started = inference.last_started = time.perf_counter()
        self._inference = inference
        self._model = model
        self._version = version
        self._headers = headers
        self._query = query
        self._reply: Callable[[Answer], None] | None = reply
        self._request_id = ""
        self._id = ""
        self._deadline = 0.0
        self._arm: Arm | None = None
        self._attempt: Attempt | None = None
        self._output_names: Sequence[envelope.RequestedOutput] | None = None
        inference.in_flight += 1

    def admit(self) -> bool:
        """Check what can be checked before the body is read; False when the refusal has been sent."""
        try:
            self._admit()
        except Exception as exc:  # the outermost door: nobody above can answer this caller
            self.refuse(exc)
            return False
        return True

    def run(self, body: bytes) -> None:
        """Answer the request, now or when its batch has run."""
        try:
            self._run(body)
        except Exception as exc:  # the outermost door, as above
            self.refuse(exc)

    def refuse(self, error: Exception) -> None:
        """Answer with an error; one that is not the gateway's own is logged, and said to be no more than that."""
        if not isinstance(error, GatewayError):
            log.error("a request failed in the gateway", exc_info=error, extra=self._described())
        elif isinstance(error, ModelFailed):
            log.warning("%s", error, extra=self._described())
        problem = Problem(error if isinstance(error, GatewayError) else None, self._request_id)
        answer = Answer(problem.status, self._arm, tuple(problem.headers), self._request_id, problem.body)
        self._end(problem.outcome, answer)

    def gone(self) -> None:
        """The caller hung up: free the place, and answer nobody."""
        if self._attempt is not None:
            self._attempt.cancel()
        self._end(outcomes.CANCELLED, None)

    def _admit(self) -> None:
        inference = self._inference
        found = {name: value for name, value in self._headers if name in READ}
        self._request_id = inference.request_id(found.get(b"x-request-id"))
        inference.find(self._model, self._version)
        if len(found) > 1 or b"content-length" not in found:
            _check_headers(found)
        if int(found.get(b"content-length", b"0")) > inference.max_body:
            raise inference.too_large()
        timeout = found.get(b"x-request-timeout-ms")
        self._deadline = inference.clock() + (inference.timeout if timeout is None else _milliseconds(timeout))

    def _run(self, body: bytes) -> None:
        inference = self._inference
        if len(body) > inference.max_body:
            raise inference.too_large()
        request = envelope.read(body)
        if self._version is None:
            values = HttpValues(self._headers, self._query, request.parameters)
            arm = inference.table.route(self._model).decide(values, getrandbits(64))
        else:
            arm = inference.table.pinned(self._model, inference.lanes.named(self._model, self._version))
        self._arm = arm
        self._id = request.id or self._request_id
        codec = inference.codec(arm.lane)
        if request.outputs:
            codec.wanted(request.outputs)
            self._output_names = request.outputs
        feeds, rows = codec.read(request.inputs)
        if request.parameters and "timeout" in request.parameters:
            timeout = _microseconds(request.parameters["timeout"])
            self._deadline = min(self._deadline, inference.clock() + timeout)
        self._attempt = Attempt(arm, feeds, rows, self._deadline, self._settled)

    def _settled(self, arm: Arm, result: Result) -> None:
        """Take the result of the arm that ended the request."""
        try:
            self._arm = arm
            if isinstance(result, Exception):
                self.refuse(result)
                return
            codec = self._inference.codec(arm.lane)
            body = codec.write(result, codec.wanted(self._output_names), self._id)
            self._end(outcomes.OK, Answer(200, arm, OK_HEADERS, self._request_id, body))
        except Exception as exc:  # the outermost door of a callback: the rest of the batch must get its answers
            self.refuse(exc)

    def _end(self, outcome: int, answer: Answer | None) -> None:
        reply, self._reply = self._reply, None
        if reply is None:
            return
        inference, arm = self._inference, self._arm
        inference.in_flight -= 1
        cells = arm.lane.cells if arm is not None else inference.unrouted(self._model)
        cells.answered(outcome, time.perf_counter() - self._started)
        if answer is not None:
            reply(answer)

    def _described(self) -> dict[str, str | int]:
        return {"request_id": self._request_id, "model": self._model}


def _check_headers(found: dict[bytes, bytes]) -> None:
    declared = found.get(b"content-type")
    if declared is not None:
        if len(declared) > MAX_CONTENT_TYPE_BYTES:
            raise InvalidRequest(f"content-type: must be at most {MAX_CONTENT_TYPE_BYTES} bytes", "invalid_header")
        kind, _, parameters = declared.partition(b";")
        if kind.strip().lower() not in CONTENT_TYPES or b"utf-16" in parameters.lower():
            raise UnsupportedMediaType("content-type: send the request as application/json in UTF-8")
    if found.get(b"content-encoding", b"identity") != b"identity":
        raise UnsupportedMediaType("content-encoding: this door reads identity only")


def _milliseconds(given: bytes) -> float:
    if TIMEOUT_MS.fullmatch(given) is None:
        raise InvalidRequest(
            "x-request-timeout-ms: must be a whole number of milliseconds, 1 or more", "invalid_timeout"
        )
    return int(given) / 1000


def _microseconds(given: envelope.Parameter) -> float:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidRequest("parameters.timeout: must be whole microseconds, 1 or more", "invalid_timeout")
    return given / 1_000_000
