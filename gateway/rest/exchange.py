"""One inference request over HTTP, from its head to its answer, whatever carries its bytes.

Two doors drive it, the ASGI callable and the short cut past it, and both get the same answer because
everything but the reading and writing of bytes is here, or where every protocol has it
(``serving/exchange.py``). The order matters: the model is found before the body is read, and the version
before the data is decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.limits import DEFAULT, Limits
from gateway.rest import envelope
from gateway.rest.binary_codec import is_wanted
from gateway.rest.form import form_of, wishes
from gateway.rest.json_codec import FiniteJsonCodec, JsonCodec
from gateway.rest.lookup import HttpValues
from gateway.rest.problems import JSON, Problem
from gateway.serving import exchange
from gateway.serving.bodies import SMALL_BYTES
from gateway.serving.codec import bounds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.errors import GatewayError
    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor
    from gateway.ports.metrics import Metrics
    from gateway.rest.form import Form
    from gateway.rest.request_head import RequestHead
    from gateway.rest.room import Room
    from gateway.serving.lanes import Lanes
    from gateway.serving.live import Arm, Headers, LiveTable


class Answer:
    """What goes back to the caller, but for the headers that the HTTP layer owns."""

    __slots__ = ("arm", "behind", "body", "headers", "request_id", "status")

    def __init__(
        self,
        status: int,
        arm: Arm | None,
        headers: Headers,
        request_id: str,
        body: bytes,
        behind: tuple[bytes | memoryview, ...] = (),
    ) -> None:
        """*behind*: large tensors that follow the *body*, and are a part of what the caller knows as that."""
        self.status = status
        self.arm = arm
        self.headers = headers
        self.request_id = request_id
        self.body = body
        self.behind = behind


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
        self.small_body = min(max_body, SMALL_BYTES)
        """The bytes of a body up to which nobody asks whether it may have more."""
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
    """One request and its answer: ``admit`` it, let it ``take`` its body, ``run`` it.

    *reply* is called once, unless it is ``gone``. What every request goes through is in few long functions: where
    requests come in turns with others' a call costs half a microsecond, and these were a dozen.
    """

    __slots__ = ("_body_bytes", "_form", "_granted", "_head", "_output_names", "_pieces")

    DOOR = "v2"
    _inference: Inference

    def __init__(
        self,
        inference: Inference,
        model: str,
        version: int | None,
        head: RequestHead,
        reply: Callable[[Answer], None],
    ) -> None:
        """*version* is set where the path names one."""
        super().__init__(inference, model, version, reply)
        self._head = head
        self._form: Form | None = None
        self._pieces: list[bytes] = []
        """Of a body without a form; a form has its own."""
        self._body_bytes = 0
        self._granted = inference.small_body
        self._output_names: Sequence[envelope.RequestedOutput] | None = None

    def admit(self) -> bool:
        """Check what can be checked before the body is read; False when the refusal has been sent."""
        try:
            inference, head = self._inference, self._head
            given = head.request_id
            self._request_id = next(inference.ids) if given is None else inference.request_id(given)
            if self._version is not None or self._model not in inference.table.routes:
                inference.find(self._model, self._version)
            if not head.is_read:
                head.read()
            if head.body_bytes > self._granted:
                self._hold(head.body_bytes)
            if head.has_form:
                self._form = form_of(head.headers, head.found, inference.max_body)
            timeout = head.timeout
            self._deadline = inference.clock() + (inference.timeout if timeout is None else timeout)
        except Exception as exc:  # the outermost door: nobody above can answer this caller
            self.refuse(exc)
            return False
        return True

    def take(self, piece: bytes) -> bool:
        """Keep a piece of the body, up to the limit; False when the refusal has been sent."""
        try:
            self._body_bytes += len(piece)
            if self._body_bytes > self._granted:
                self._hold(self._body_bytes)
            if self._form is None:
                self._pieces.append(piece)
            elif (inflated := self._form.take(piece)) > self._granted:
                self._hold(inflated)
        except Exception as exc:  # the outermost door, as in ``admit``
            self.refuse(exc)
            return False
        return True

    def _hold(self, size: int) -> None:
        """Let the body have *size* bytes. Raises RequestTooLarge and BodiesOverloaded."""
        inference = self._inference
        if size > inference.max_body:
            raise inference.too_large()
        if size > SMALL_BYTES:
            inference.bodies.change(self._held, size)
            self._held = self._granted = size

    def _let_go(self) -> None:
        """Give back the room of the body, and the body: a connection keeps its last request as long as it idles."""
        super()._let_go()
        self._form, self._pieces = None, []

    @property
    def room(self) -> Room | None:
        """The memory of a body that ends in binary tensors and whose length is known; None for all others."""
        return None if self._form is None else self._form.room

    def run(self) -> None:
        """Answer the request, whose body is whole, now or when its batch has run."""
        try:
            inference, form, pieces, tail = self._inference, self._form, self._pieces, None
            if form is None:
                request = envelope.read(pieces[0] if len(pieces) == 1 else b"".join(pieces), inference.limits)
            else:
                request, tail = form.open(inference.limits)
            parameters = request.parameters
            if self._version is None:
                arm = self._routed(HttpValues(self._head, parameters))
            else:
                arm = self._pinned(self._version)
            self._id = request.id or self._request_id
            codec = inference.codec(arm.lane)
            if parameters or request.outputs or tail is not None:
                self._form = form = wishes(request, form)
            if request.outputs:
                codec.named(request.outputs, binary=form is not None and form.binary is True)
                self._output_names = request.outputs
            feeds, rows = codec.read(request.inputs) if tail is None else codec.read_binary(request.inputs, tail)
            self._start(arm, feeds, rows, parameters)
        except Exception as exc:  # the outermost door, as in ``admit``
            self.refuse(exc)

    def _answer(self, arm: Arm, outputs: Sequence[Tensor]) -> Answer:
        codec = self._inference.codec(arm.lane)
        if self._form is None:
            names = self._output_names
            body = codec.write(outputs, codec.wanted(names) if names else codec.all_outputs, self._id)
            return Answer(200, arm, OK_HEADERS, self._request_id, body)
        body, behind, headers = self._write(self._form, codec, outputs)
        return Answer(200, arm, headers, self._request_id, body, behind)

    def _write(
        self, form: Form, codec: JsonCodec, outputs: Sequence[Tensor]
    ) -> tuple[bytes, tuple[bytes | memoryview, ...], Headers]:
        """Return what ``Form.answer`` does, of an answer that is not all plain JSON."""
        default, named = form.binary, self._output_names
        wanted = codec.named(named, binary=default is True) if named else codec.wanted(None)
        if default is None:
            return form.answer(codec.write(outputs, wanted, self._id))
        binary = [is_wanted(each, default) for each in named] if named else [default] * len(wanted)
        return form.answer(*codec.write_mixed(outputs, wanted, binary, self._id))

    def _refusal(self, error: GatewayError | None) -> tuple[int, Answer]:
        trace = self._trace()
        problem = Problem(error, self._request_id, "" if trace is None else trace.trace_id)
        return problem.outcome, Answer(
            problem.status, self._arm, tuple(problem.headers), self._request_id, problem.body
        )

    def _status(self, answer: Answer) -> int:
        return answer.status

    def _heard(self, name: str) -> Sequence[bytes]:
        wanted = name.encode()
        head = self._head
        return [value for each, value in head.headers if each == wanted] if wanted in head.found else ()
