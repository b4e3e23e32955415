"""A request of a caller whose share is bounded: let in first of all, and counted until it ends.

Doors that are made while ``Traffic.callers`` bounds nobody use the plain exchanges, which know nothing of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.callers import named
from gateway.serving.exchange import AnswerT, Exchange

if TYPE_CHECKING:
    from gateway.core.callers import Caller


class Bounded(Exchange[AnswerT]):
    """One request of the caller at *_address*; a door's exchange inherits this before its own, and has the slots.

    Of two parents only one may have slots of its own.
    """

    __slots__ = ()

    _address: str
    """Where the connection comes from, empty for a local socket."""
    _caller: Caller | None
    """Whose place the request has."""

    def _enter(self) -> None:
        """Take a place. Raises TooManyRequests."""
        inference = self._inference
        callers, limits = inference.callers, inference.limits
        assert callers is not None  # for others this class is not chosen
        said = self._heard(limits.caller_header) if limits.caller_header else ()
        name = named(self._address, said[-1] if said else None, limits.caller_proxies)
        self._caller = callers.enter(name, inference.clock())  # type: ignore[misc] # the slot is the door's

    def _end(self, *how: object) -> None:
        caller, self._caller = self._caller, None  # type: ignore[misc] # as above
        if caller is not None:
            callers = self._inference.callers
            assert callers is not None
            callers.leave(caller)
        super()._end(*how)  # type: ignore[arg-type] # handed on as it came
