"""Does what a link of a notification offers, once: through the same door as everybody, in the name of the link.

Whoever has a link may do the one thing that it offers, and nothing else; it is as good as a token for that. It is
marked before it acts, so of two at once one acts, and given back where nothing came of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gateway.core.errors import GatewayError, InvalidDocument, NoRollout, UnknownModel
from gateway.core.links import read_offer
from gateway.core.phases import Event
from gateway.ports.notifications import digest_of_link

if TYPE_CHECKING:
    from gateway.control.operations import Operations
    from gateway.core.links import Offer
    from gateway.ports.notifications import LinkStore


class State(StrEnum):
    """What a link is good for."""

    OPEN = "open"
    DONE = "done"
    UNKNOWN = "unknown"
    """No link of this model, or too old to be remembered."""
    USED = "used"
    EXPIRED = "expired"
    STALE = "stale"
    """What it was about is over."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a link stands, *why* in words, and what it offers where it is known."""

    state: State
    why: str
    offer: Offer | None = None


UNKNOWN: Final = Standing(State.UNKNOWN, "This link is not known here, or was forgotten long ago")


class Links:
    """The links of all models. Everything raises StoreUnavailable."""

    def __init__(self, operations: Operations, store: LinkStore) -> None:
        self._operations = operations
        self._store = store

    async def look(self, model: str, token: str) -> Standing:
        """Return where the link with *token* stands, and change nothing."""
        return (await self._look(model, token))[0]

    async def act(self, model: str, token: str) -> Standing:
        """Do what the link offers if it is open, and return where it stands now.

        Raises what the move does, and then nothing has changed and the link is open still; after StoreUnavailable it
        may have been done.
        """
        standing, revision = await self._look(model, token)
        if standing.offer is None or standing.state is not State.OPEN:
            return standing
        digest = digest_of_link(token)
        if not await self._store.take_link(model, digest):
            return Standing(State.USED, "This link was used already", standing.offer)
        offer = standing.offer
        try:
            await self._operations.rollouts.move(
                model,
                offer.event,
                expected=revision,
                who=f"link:{offer.target}",
                reason=f"{offer.act.replace('_', ' ')} by link sent to {offer.target}",
                force=offer.event is Event.PROMOTE,
            )
        except GatewayError:
            await self._store.give_link_back(model, digest)
            raise
        return Standing(State.DONE, "Done", offer)

    async def _look(self, model: str, token: str) -> tuple[Standing, int]:
        """Return where the link stands, and at which revision of the route."""
        kept = await self._store.link(model, digest_of_link(token))
        if kept is None:
            return UNKNOWN, 0
        try:
            offer = read_offer(kept.payload)
        except InvalidDocument:
            return UNKNOWN, 0
        if kept.is_used:
            return Standing(State.USED, "This link was used already", offer), 0
        if kept.is_late:
            return Standing(State.EXPIRED, "This link was good for a day, which is over", offer), 0
        try:
            current, _ = await self._operations.rollouts.look(model)
        except (NoRollout, UnknownModel):
            return Standing(State.STALE, "The model has no rollout any more", offer), 0
        why = offer.why_stale(current.rollout)
        if why:
            return Standing(State.STALE, f"{why[0].upper()}{why[1:]}", offer), 0
        return Standing(State.OPEN, "", offer), current.revision
