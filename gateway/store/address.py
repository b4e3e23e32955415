"""Where a store is and how to connect to it: a URL, read once and checked.

Timeouts, retries and the protocol are ours and cannot be changed by the URL: promises hang on them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from redis.asyncio import Connection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.core.errors import InvalidSettings
from gateway.store.connections import KINDS
from gateway.store.guard import place_of

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

FORMS: Final = "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss://… (TLS) or unix:///PATH[?db=DATABASE]"

FROM_URL: Final = re.compile(r"connection_class|username|password|host|port|path|db|ssl_\w+")
"""What a URL may say."""


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address. *place* is for messages: it holds neither user nor password."""

    place: str
    timeout_seconds: float
    parsed: dict[str, Any]

    @classmethod
    def parse(cls, url: str, timeout_seconds: float) -> Address:
        """Read *url*. Raises InvalidSettings, in words that repeat nothing of it but option names."""
        try:
            parsed: dict[str, Any] = {**parse_url(url)}
            path = urlsplit(url).path.strip("/")
        except ValueError:
            # The reason would quote the part that was not understood, and that may be a password.
            raise InvalidSettings(f"--redis-url is no address of a store; give it as {FORMS}") from None
        strange = sorted(name for name in parsed if not FROM_URL.fullmatch(name))
        if strange:
            raise InvalidSettings(f"--redis-url has options that cannot be set there: {', '.join(strange)}")
        if url.startswith("unix:") and not parsed.get("path"):
            raise InvalidSettings(f"--redis-url names no socket; give it as {FORMS}")
        if not url.startswith("unix:") and path and not path.isdecimal():
            raise InvalidSettings("--redis-url names a database that is no number")
        address = cls(place_of(parsed), timeout_seconds, parsed)
        try:
            address.connection()
        except (TypeError, ValueError, RedisError) as exc:
            raise InvalidSettings(f"--redis-url has an option that cannot be used: {exc}") from exc
        return address

    def options(self, *, retries: int) -> dict[str, Any]:
        """Return the keyword arguments of a connection.

        RESP 2 without ``CLIENT SETINFO``: a new connection costs no round trip before its first command,
        and no command that a narrow ACL would have to allow.
        """
        return {
            **self.parsed,
            "connection_class": KINDS[self.parsed.get("connection_class", Connection)],
            "socket_timeout": self.timeout_seconds,
            "socket_connect_timeout": self.timeout_seconds,
            "retry": Retry(NoBackoff(), retries),
            "protocol": 2,
            "driver_info": None,
        }

    def connection(self) -> AbstractConnection:
        """Return a new connection of its own, not yet connected, that tries everything once."""
        options = self.options(retries=0)
        kind: type[AbstractConnection] = options.pop("connection_class")
        return kind(**options)
