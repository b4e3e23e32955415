"""Feedback as every door takes it: for a model that is there, of a bounded number of bodies, read by one reader.

Bodies beyond the bound are refused before they are read, and the others are read one by one: labels can be sent again,
and requests come first.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from gateway.core.errors import FeedbackOverloaded, Forbidden, InvalidDocument, InvalidRequest
from gateway.core.feedback import read_facts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from gateway.core.errors import GatewayError
    from gateway.core.feedback import Fact
    from gateway.ports.labels import Feedback
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
        self._reading = asyncio.Lock()

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

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Let one body be read: it takes milliseconds, after which whoever sent a request meanwhile comes first."""
        async with self._reading:
            yield
            await asyncio.sleep(0)

    async def take(self, model: str, facts: Sequence[Fact]) -> Sequence[str | GatewayError]:
        """Return what became of each of *facts*; within ``entered``. Raises StoreUnavailable, FeedbackOverloaded."""
        assert self._feedback is not None
        return await self._feedback.take(model, facts)


def facts_in(data: object) -> Sequence[Fact]:
    """Return what *data* says, as ``read_facts`` reads it. Raises InvalidRequest."""
    try:
        return read_facts(data)
    except InvalidDocument as exc:
        raise InvalidRequest(str(exc), "invalid_feedback") from exc
