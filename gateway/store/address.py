"""Where a store is and how to connect to it: a URL, read once and checked.

Timeouts, retries and the protocol are ours and cannot be changed by the URL: promises hang on them.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from redis.asyncio import Connection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.core.errors import InvalidSettings
from gateway.store.connections import KINDS
from gateway.store.guard import place_of
from gateway.store.sentinel import PrimaryFinder, primary_connection

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

FORMS: Final = (
    "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], "
    "redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/SERVICE[/DATABASE], "
    "redis+cluster://[USER:PASSWORD@]HOST[:PORT],…, the same with rediss for TLS, or unix:///PATH[?db=DATABASE]"
)

FROM_URL: Final = re.compile(r"connection_class|username|password|host|port|path|db|ssl_\w+")
"""What a URL may say."""

SENTINEL_LOGIN: Final = {"sentinel_username": "username", "sentinel_password": "password"}
"""Options for the Sentinels alone, which have users of their own."""

SENTINEL_PORT: Final = 26379

SEVERAL: Final = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?P<login>[^/?]*@)?(?P<hosts>[^/?@]+)(?P<path>/[^?]*)?(?P<query>\?.*)?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address. *place* is for messages: it holds neither user nor password.

    *nodes* are the Sentinels of *service*, or nodes of a cluster where there is no service; one server has none.
    All connections share the *finder* of the primary, where there are Sentinels: what one of them finds, all know.
    """

    place: str
    timeout_seconds: float
    parsed: dict[str, Any]
    nodes: tuple[dict[str, Any], ...] = ()
    service: str = ""
    finder: PrimaryFinder | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.service:
            sentinels = [{**node, **self._fixed(self.timeout_seconds, 0)} for node in self.nodes]
            finder = PrimaryFinder(self.service, sentinels, seconds=self.timeout_seconds)
            object.__setattr__(self, "finder", finder)  # how a frozen value sets what it computes

    @classmethod
    def parse(cls, url: str, timeout_seconds: float) -> Address:
        """Read *url*. Raises InvalidSettings, in words that repeat nothing of it but option names."""
        several = SEVERAL.fullmatch(url)
        address = _several(several, timeout_seconds) if several else _one(url, timeout_seconds)
        try:
            address.connection()
        except (TypeError, ValueError, RedisError) as exc:
            raise InvalidSettings(f"--redis-url has an option that cannot be used: {exc}") from exc
        return address

    @property
    def is_cluster(self) -> bool:
        """Say whether keys are spread over several servers."""
        return bool(self.nodes) and not self.service

    def options(self, *, retries: int) -> dict[str, Any]:
        """Return the keyword arguments of a connection.

        RESP 2 without ``CLIENT SETINFO``: a new connection costs no round trip before its first command,
        and no command that a narrow ACL would have to allow.
        """
        kind = KINDS[self.parsed.get("connection_class", Connection)]
        options = {**self.parsed, "connection_class": kind, **self._fixed(self.timeout_seconds, retries)}
        if self.finder is not None:
            options["connection_class"] = primary_connection(kind)
            options["finder"] = self.finder
        return options

    def connection(self) -> AbstractConnection:
        """Return a new connection of its own, not yet connected, that tries everything once.

        In a cluster it goes to any of the nodes: what is published at one is heard at all.
        """
        options = self.options(retries=0)
        if self.is_cluster:
            options.update(random.choice(self.nodes))
        kind: type[AbstractConnection] = options.pop("connection_class")
        return kind(**options)

    @staticmethod
    def _fixed(seconds: float, retries: int) -> dict[str, Any]:
        return {
            "socket_timeout": seconds,
            "socket_connect_timeout": seconds,
            "retry": Retry(NoBackoff(), retries),
            "protocol": 2,
            "driver_info": None,
        }


def _several(match: re.Match[str], timeout_seconds: float) -> Address:
    """Return the address of what *match* of SEVERAL says: one address per host, which have all but the host alike."""
    is_cluster, path = match["kind"] == "cluster", (match["path"] or "").strip("/").split("/")
    service, database = ("", path) if is_cluster else (unquote(path[0]), path[1:])
    if not is_cluster and not service:
        raise InvalidSettings(f"--redis-url names no service of the Sentinels; give it as {FORMS}")
    if is_cluster and any(each not in {"", "0"} for each in database):
        raise InvalidSettings("--redis-url names a database; a cluster has none but 0")
    tail = "/".join(["", *database]) + (match["query"] or "")
    urls = [f"{match['scheme']}://{match['login'] or ''}{host}{tail}" for host in match["hosts"].split(",")]
    ones = [_one(each, timeout_seconds, login=not is_cluster) for each in urls]
    if any("host" not in each.parsed for each in ones):
        raise InvalidSettings(f"--redis-url has a server without a name; give it as {FORMS}")
    port = 6379 if is_cluster else SENTINEL_PORT
    hosts = [{"host": each.parsed["host"], "port": each.parsed.get("port", port)} for each in ones]
    parsed = {name: value for name, value in ones[0].parsed.items() if name not in {"host", "port", *SENTINEL_LOGIN}}
    if is_cluster:
        place = f"cluster at {','.join(map(place_of, hosts))}"
        return Address(place, timeout_seconds, parsed, tuple(hosts))
    own = {known: ones[0].parsed[name] for name, known in SENTINEL_LOGIN.items() if name in ones[0].parsed}
    tls = {name: value for name, value in parsed.items() if name not in {"username", "password", "db"}}
    place = f"{service} of the Sentinels at {','.join(map(place_of, hosts))}"
    return Address(place, timeout_seconds, parsed, tuple({**tls, **own, **host} for host in hosts), service)


def _one(url: str, timeout_seconds: float, *, login: bool = False) -> Address:
    """Return the address of one server; *login* says whether *url* may hold what logs in at Sentinels."""
    try:
        parsed: dict[str, Any] = {**parse_url(url)}
        path = urlsplit(url).path.strip("/")
    except ValueError:
        # The reason would quote the part that was not understood, and that may be a password.
        raise InvalidSettings(f"--redis-url is no address of a store; give it as {FORMS}") from None
    strange = sorted(name for name in parsed if not FROM_URL.fullmatch(name) and not (login and name in SENTINEL_LOGIN))
    if strange:
        raise InvalidSettings(f"--redis-url has options that cannot be set there: {', '.join(strange)}")
    if url.startswith("unix:") and not parsed.get("path"):
        raise InvalidSettings(f"--redis-url names no socket; give it as {FORMS}")
    if not url.startswith("unix:") and path and not path.isdecimal():
        raise InvalidSettings("--redis-url names a database that is no number")
    return Address(place_of(parsed), timeout_seconds, parsed)
