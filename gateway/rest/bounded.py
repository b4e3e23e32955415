"""The exchanges over HTTP of callers whose share is bounded. A worker that bounds nobody uses none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.rest.exchange import Answer, Exchange
from gateway.rest.v1_exchange import PredictionExchange
from gateway.serving.bounded import Bounded

if TYPE_CHECKING:
    from gateway.rest.exchange import Inference
    from gateway.rest.request_head import RequestHead


class BoundedHttp(Bounded[Answer], Exchange):
    """What is the same whichever of them it is: the caller is looked at before anything else is."""

    __slots__ = ()
    _inference: Inference
    _head: RequestHead

    def admit(self) -> bool:
        """Let the caller in, then check the rest; False when the refusal has been sent."""
        try:
            self._enter()
        except Exception as exc:  # the outermost door: nobody above can answer this caller
            self._request_id = self._inference.request_id(self._head.request_id)
            self.refuse(exc)
            return False
        return super().admit()


class BoundedExchange(BoundedHttp):
    """Over ASGI."""

    __slots__ = ("_address", "_caller")

    def __init__(self, *given: Any, address: str) -> None:
        """*given* is what ``Exchange`` takes."""
        super().__init__(*given)
        self._address = address
        self._caller = None


class BoundedPrediction(BoundedHttp, PredictionExchange):
    """A prediction over v1."""

    __slots__ = ("_address", "_caller")

    def __init__(self, *given: Any, address: str, label: str | None) -> None:
        """*given* and *label* are what ``PredictionExchange`` takes."""
        PredictionExchange.__init__(self, *given, label=label)
        self._address = address
        self._caller = None
