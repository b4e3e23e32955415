"""Who is at the admin door, and what they may do.

Without a token file the door is for this machine only; ``token_file.py`` has the door with tokens, ``proxy.py`` the one
behind a proxy that knows its users.
"""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from gateway.core.audit import Actor
from gateway.core.errors import Forbidden, TooManyAttempts, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME: Final = re.compile(r"[!-~][ -~]{0,63}", re.ASCII)
"""Names that go into the audit: printable ASCII, at most 64."""
EVERY_MODEL: Final = ("*",)

WRONG_TOKENS: Final = 10
"""Wrong tokens that one address may show within WINDOW_SECONDS."""
WINDOW_SECONDS: Final = 60.0
MAX_ADDRESSES: Final = 4_096


class Role(IntEnum):
    """What somebody may do; each may all that the ones before may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody at the door. *name* and *address*, empty for a local socket, go into the audit.

    *models* are those within reach: names, or beginnings of names with a ``*`` behind.
    """

    name: str
    role: Role
    models: tuple[str, ...] = EVERY_MODEL
    address: str = ""

    @property
    def actor(self) -> Actor:
        """The name as the audit keeps it."""
        return Actor(self.name, self.address)

    def check(self, needed: Role) -> None:
        """Raise Forbidden unless this one has the role that is *needed*."""
        if self.role < needed:
            raise Forbidden(f"{self.name!r} is {self.role.name.lower()}; this needs the role {needed.name.lower()}")

    def reaches(self, model: str) -> bool:
        """Say whether *model* is within reach."""
        return any(model.startswith(each[:-1]) if each.endswith("*") else model == each for each in self.models)

    def check_model(self, model: str) -> None:
        """Raise Forbidden for a *model* out of reach, whether there is such a model or not."""
        if not self.reaches(model):
            raise Forbidden(
                f"{self.name!r} reaches {', '.join(self.models)}, not {model[:63]!r}; "
                f"ask for an entry of the token file that names it"
            )


class Door(Protocol):
    """Decides who somebody is, by the head of a request only."""

    def identify(self, address: str | None, headers: Mapping[str, str]) -> Principal:
        """Return who calls from *address* (None: a local socket). Raises Unauthenticated or Forbidden."""
        ...


class LoopbackDoor:
    """Without tokens: everybody on this machine is an admin, nobody else is anybody."""

    def identify(self, address: str | None, headers: Mapping[str, str]) -> Principal:
        if address is not None and not _is_loopback(address):
            raise Unauthenticated(
                "without tokens only callers on this machine are let in; start the gateway with --admin-token-file"
            )
        if not _is_address_or_localhost(headers.get("host", "")):
            # A page of a hostile site whose name was made to point at this machine sends its own name here.
            raise Forbidden(
                "without tokens the gateway is reached as localhost or by its address only, not by another name"
            )
        hint = headers.get("x-gateway-actor", "")
        name = f"local:{hint}" if NAME.fullmatch(hint) else "local"
        return Principal(name, Role.ADMIN, address=address or "")


class Attempts:
    """Wrong tokens per address within a minute.

    Who guesses is shut out with every token, who repeats one wrong token is only told so: a forgotten
    job with an old token must not lock out the operator on the same machine.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, deque[tuple[float, str]]] = OrderedDict()

    def check(self, address: str, digest: str) -> None:
        """Raise TooManyAttempts after too many wrong tokens of *address*, if they differ or *digest* is one."""
        seen = self._wrong.get(address)
        if seen is None:
            return
        while seen and seen[0][0] <= self._clock() - WINDOW_SECONDS:
            seen.popleft()
        tried = {digest for _, digest in seen}
        if len(tried) >= WRONG_TOKENS or (len(seen) >= WRONG_TOKENS and digest in tried):
            raise TooManyAttempts(max(1, round(seen[0][0] + WINDOW_SECONDS - self._clock())))

    def wrong(self, address: str, digest: str) -> None:
        """Note that *digest* was no token."""
        seen = self._wrong.setdefault(address, deque(maxlen=4 * WRONG_TOKENS))
        seen.append((self._clock(), digest))
        self._wrong.move_to_end(address)
        while len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)


def check_origin(headers: Mapping[str, str], *, changes: bool = True) -> None:
    """Refuse what a page of another site made a browser send. Raises Forbidden.

    A browser names the page's origin with every request that *changes* something; other clients send
    neither header. Following a link from elsewhere is no change, and is let through.
    """
    origin = headers.get("origin")
    is_foreign = origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    if is_foreign or (changes and headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}):
        raise Forbidden("this page belongs to another site; use the gateway's own address")


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return found.is_loopback or (mapped is not None and mapped.is_loopback)


def _is_address_or_localhost(host: str) -> bool:
    name = re.sub(r":[0-9]*\Z", "", host).lower() if not host.endswith("]") else host
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
