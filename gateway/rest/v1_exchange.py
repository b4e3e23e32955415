"""One prediction over v1, from its head to its answer: how the body reads and looks; the rest is ``Exchange``'s.

It comes by the ASGI door only. Route, pin, fallback, deadline and count are those of every other request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.rest import v1_codec
from gateway.rest.exchange import OK_HEADERS, Answer, Exchange
from gateway.rest.lookup import HttpValues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.engine import Tensor
    from gateway.serving.live import Arm


class PredictionExchange(Exchange):
    """One request for ``:predict``."""

    __slots__ = ("_label", "_rows")

    DOOR = "v1"

    def __init__(self, *given: Any, label: str | None = None) -> None:
        """*given* is what ``Exchange`` takes; *label* is set where the path names a version by one."""
        super().__init__(*given)
        self._label = label
        self._rows: int | None = None

    def admit(self) -> bool:
        """Check what can be checked before the body is read; False when the refusal has been sent."""
        if not super().admit():
            return False
        try:
            self._look_up_label()
        except Exception as exc:  # the outermost door: nobody above can answer this caller
            self.refuse(exc)
            return False
        return True

    def run(self) -> None:
        """Answer the request, whose body is whole, now or when its batch has run."""
        try:
            self._run()
        except Exception as exc:  # the outermost door, as in ``admit``
            self.refuse(exc)

    def _look_up_label(self) -> None:
        """Pin the version that the label points to now. Raises UnknownAlias, VersionUnavailable."""
        if self._label is not None:
            inference = self._inference
            self._version = inference.table.route(self._model).labelled(self._label)
            inference.find(self._model, self._version)

    def _run(self) -> None:
        inference = self._inference
        body = b"".join(self._pieces) if self._form is None else self._form.whole()
        request = v1_codec.read(body, inference.limits)
        self._look_up_label()  # again: the route may have changed while the body came, and one revision answers
        arm = self._routed(HttpValues(self._head, None)) if self._version is None else self._pinned(self._version)
        inputs = v1_codec.inputs_of(request, arm.lane.version.signature)
        feeds, rows = inference.codec(arm.lane).read(inputs)
        self._rows = rows if v1_codec.in_rows(request) else None
        self._start(arm, feeds, rows, None)

    def _answer(self, arm: Arm, outputs: Sequence[Tensor]) -> Answer:
        self._inference.codec(arm.lane).check(outputs, range(len(outputs)))
        body, headers = v1_codec.write(outputs, arm.lane.version.signature.outputs, self._rows), OK_HEADERS
        if self._form is not None:
            body, _, headers = self._form.answer(body)
        return Answer(200, arm, headers, self._request_id, body)
