"""One inference request over HTTP, from its head to its answer, whatever carries its bytes.

Two doors drive it, the ASGI callable and the short cut past it, and both get the same answer because
everything but the reading and writing of bytes is here, or where every protocol has it
(``serving/exchange.py``). The order matters: the model is found before the body is read, and the version
before the data is decoded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.errors import GatewayError, InvalidRequest
from gateway.core.limits import DEFAULT, Limits
from gateway.rest import envelope
from gateway.rest.binary_codec import is_wanted
from gateway.rest.form import HEADERS as FORM_HEADERS
from gateway.rest.form import check_content_type, form_of, wishes
from gateway.rest.json_codec import FiniteJsonCodec, JsonCodec
from gateway.rest.lookup import HttpValues
from gateway.rest.problems import JSON, Problem
from gateway.serving import exchange
from gateway.serving.codec import bounds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.models.loaded import LoadedVersion
    from gateway.ports import Metrics, Tensor
    from gateway.rest.form import Form
    from gateway.serving.lanes import Lanes
    from gateway.serving.live import Arm, Headers, LiveTable

TIMEOUT_MS: Final = re.compile(rb"[1-9][0-9]{0,8}")


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


class Inference(exchange.Traffic):
    """What all exchanges over HTTP share, beside what they share with every other request of this worker."""

    def __init__(
        self,
        table: LiveTable,
        lanes: Lanes,
        metrics: Metrics,
        *,
        timeout: float,
        max_body: int,
        limits: Limits = DEFAULT,
    ) -> None:
        """*timeout* (seconds) holds for requests that bring none; *max_body* is in bytes."""
        super().__init__(table, lanes, metrics, timeout=timeout, max_body=max_body, limits=limits)
        self.closing = False
        """Set while the worker drains: every answer then closes its connection."""
        self.targets: dict[bytes, tuple[str, int | None]] = {}
        """What the URLs of inference requests name; filled by the short cut, which must not read them twice."""
        self.codec = exchange.Codecs(self._make_codec).of
        """The codec of a lane's version."""

    def _make_codec(self, version: LoadedVersion) -> JsonCodec:
        bounds = bounds_of(version, self.limits)
        kind = FiniteJsonCodec if version.metadata.serving.nonfinite == "binary" else JsonCodec
        return kind(version.model, version.version, version.signature, bounds, batchable=version.batchable)

    def closes(self, answer: Answer) -> bool:
        """Say whether the connection ends with *answer*: the worker drains, or a body that is too large still comes."""
        return self.closing or answer.status == 413


class Exchange(exchange.Exchange[Answer]):
    """One request and its answer: ``admit`` it, ``run`` it with its body; *reply* is called once, unless ``gone``."""

    __slots__ = ("_form", "_found", "_headers", "_output_names", "_query")

    _inference: Inference

    def __init__(
        self,
        inference: Inference,
        model: str,
        version: int | None,
        headers: Sequence[tuple[bytes, bytes]],
        found: Mapping[bytes, bytes],
        query: bytes,
        reply: Callable[[Answer], None],
    ) -> None:
        """*version* is set where the path names one; header names are lower-case.

        *found* is *headers* by name, of a repeated one the last.
        """
        super().__init__(inference, model, version, reply)
        self._headers = headers
        self._found = found
        self._query = query
        self._form: Form | None = None
        self._output_names: Sequence[envelope.RequestedOutput] | None = None

    def admit(self) -> bool:
        """Check what can be checked before the body is read; False when the refusal has been sent."""
        try:
            self._admit()
        except Exception as exc:  # the outermost door: nobody above can answer this caller
            self.refuse(exc)
            return False
        return True

    @property
    def is_compressed(self) -> bool:
        """Say whether the pieces of the body are to go through ``inflate``; known once it is admitted."""
        return self._form is not None and self._form.inflater is not None

    def inflate(self, piece: bytes) -> bytes | None:
        """Return what a piece of a compressed body inflates to; None when the refusal has been sent."""
        assert self._form is not None
        assert self._form.inflater is not None
        try:
            return self._form.inflater.take(piece)
        except Exception as exc:  # the outermost door, as in ``admit``
            self.refuse(exc)
            return None

    def run(self, body: bytes) -> None:
        """Answer the request, now or when its batch has run."""
        try:
            self._run(body)
        except Exception as exc:  # the outermost door, as above
            self.refuse(exc)

    def _admit(self) -> None:
        inference = self._inference
        found = self._found
        self._request_id = inference.request_id(found.get(b"x-request-id"))
        inference.find(self._model, self._version)
        check_content_type(found.get(b"content-type"))
        if not FORM_HEADERS.isdisjoint(found):
            self._form = form_of(self._headers, found, inference.max_body)
        if int(found.get(b"content-length", b"0")) > inference.max_body:
            raise inference.too_large()
        timeout = found.get(b"x-request-timeout-ms")
        self._deadline = inference.clock() + (inference.timeout if timeout is None else _milliseconds(timeout))

    def _run(self, body: bytes) -> None:
        inference = self._inference
        if len(body) > inference.max_body:
            raise inference.too_large()
        form, tail = self._form, None
        if form is None:
            request = envelope.read(body, inference.limits)
        else:
            request, tail = form.open(body, inference.limits)
        if self._version is None:
            arm = self._routed(HttpValues(self._headers, self._query, request.parameters))
        else:
            arm = self._pinned(self._version)
        self._id = request.id or self._request_id
        codec = inference.codec(arm.lane)
        if request.parameters or request.outputs or tail is not None:
            self._form = form = wishes(request, form)
        if request.outputs:
            codec.named(request.outputs, binary=form is not None and form.binary is True)
            self._output_names = request.outputs
        feeds, rows = codec.read(request.inputs, tail)
        self._start(arm, feeds, rows, request.parameters)

    def _answer(self, arm: Arm, outputs: Sequence[Tensor]) -> Answer:
        codec = self._inference.codec(arm.lane)
        if self._form is None:
            body = codec.write(outputs, codec.wanted(self._output_names), self._id)
            return Answer(200, arm, OK_HEADERS, self._request_id, body)
        body, headers = self._write(self._form, codec, outputs)
        return Answer(200, arm, headers, self._request_id, body)

    def _write(self, form: Form, codec: JsonCodec, outputs: Sequence[Tensor]) -> tuple[bytes, Headers]:
        """Return the body and the headers of an answer that is not all plain JSON."""
        default, named = form.binary, self._output_names
        wanted = codec.named(named, binary=default is True) if named else codec.wanted(None)
        if default is None:
            return form.answer(codec.write(outputs, wanted, self._id))
        binary = [is_wanted(each, default) for each in named] if named else [default] * len(wanted)
        return form.answer(*codec.write_mixed(outputs, wanted, binary, self._id))

    def _refusal(self, error: GatewayError | None) -> tuple[int, Answer]:
        problem = Problem(error, self._request_id)
        return problem.outcome, Answer(
            problem.status, self._arm, tuple(problem.headers), self._request_id, problem.body
        )


def _milliseconds(given: bytes) -> float:
    if TIMEOUT_MS.fullmatch(given) is None:
        raise InvalidRequest(
            "x-request-timeout-ms: must be a whole number of milliseconds, 1 or more", "invalid_timeout"
        )
    return int(given) / 1000
