"""Makes the links that a notification carries: each with a token of its own, of which the store keeps a hash only."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gateway.core.links import offers_of
from gateway.ports.notifications import digest_of_link

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.notification import Notification
    from gateway.ports.notifications import LinkStore

TOKEN_BYTES: Final = 32


class LinkMaker:
    """*public_url*: where people reach the admin port, without a slash at its end."""

    def __init__(self, store: LinkStore, public_url: str) -> None:
        self._store = store
        self._public_url = public_url.rstrip("/")

    async def links(self, notification: Notification, target: str) -> Mapping[str, str]:
        """Return what *target* may do → the address that does it. Raises StoreUnavailable.

        Each attempt of a delivery has links of its own; those of one that failed end unused.
        """
        found = {}
        for offer in offers_of(notification, target):
            token = secrets.token_urlsafe(TOKEN_BYTES)
            await self._store.keep_link(offer.model, digest_of_link(token), offer.encoded())
            found[offer.act.value] = f"{self._public_url}/links/{quote(offer.model)}/{token}"
        return found
