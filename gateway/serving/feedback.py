"""Feedback as every door takes it: for a model that is there, of a bounded number of bodies, read by one reader.

Bodies beyond the bound are refused before they are read: labels can be sent again, and requests come first.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from gateway.core.errors import FeedbackOverloaded, Forbidden, InvalidDocument, InvalidRequest
from gateway.core.feedback import read_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.core.errors import GatewayError
    from gateway.core.feedback import Fact
    from gateway.ports import Feedback
    from gateway.serving.description import Description

IN_HAND: Final = 128
"""Bodies of one door that are read, or wait for the store, at once."""
BODY_BYTES: Final = 1 << 20


class FeedbackRoom:
    """Takes what callers say of answers through one door."""

    def __init__(self, described: Description, feedback: Feedback | None) -> None:
        """*feedback* is None where it is off."""
        self._described = described
        self._feedback = feedback
        self._in_hand = 0

    @contextmanager
    def entered(self, model: str) -> Iterator[None]:
        """Hold a place for one body. Raises Forbidden where feedback is off, UnknownModel, FeedbackOverloaded."""
        if self._feedback is None:
            raise Forbidden("feedback is off here; the operator can start the gateway with --feedback-ttl 1h")
        self._described.named(model, None)
        if self._in_hand >= IN_HAND:
            raise FeedbackOverloaded(model)
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1

    async def take(self, model: str, data: object) -> Sequence[tuple[Fact, str | GatewayError]]:
        """Return what *data*, as ``read_facts`` reads it, says, and what became of each; within ``entered``.

        Raises InvalidRequest, StoreUnavailable, FeedbackOverloaded.
        """
        assert self._feedback is not None
        try:
            facts = read_facts(data)
        except InvalidDocument as exc:
            raise InvalidRequest(str(exc), "invalid_feedback") from exc
        return list(zip(facts, await self._feedback.take(model, facts), strict=True))
