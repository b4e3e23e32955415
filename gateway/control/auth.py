"""Who is at the admin door, and what they may do.

With a token file every caller shows a bearer token; without one the door is for this machine only.
Tokens are known by their SHA-256, so neither the file nor this process can give one away.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import re
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from gateway.core.errors import Forbidden, InvalidSettings, TooManyAttempts, Unauthenticated
from gateway.strict_yaml import read_documents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

NAME: Final = re.compile(r"[!-~][ -~]{0,63}", re.ASCII)
"""Names that go into the audit: printable ASCII, at most 64."""
SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
MAX_FILE_BYTES: Final = 1 << 20

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
    """Somebody at the door. *name* goes into the audit."""

    name: str
    role: Role

    def check(self, needed: Role) -> None:
        """Raise Forbidden unless this one has the role that is *needed*."""
        if self.role < needed:
            raise Forbidden(f"{self.name!r} is {self.role.name.lower()}; this needs the role {needed.name.lower()}")


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
        return Principal(f"local:{hint}" if NAME.fullmatch(hint) else "local", Role.ADMIN)


class TokenFile:
    """Bearer tokens from a YAML or JSON file: ``tokens: [{name: ci, sha256: <hex>, role: operator}]``.

    Read again when its modification time changes; a broken new file keeps the old tokens and is logged once.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises InvalidSettings for a file that cannot be used."""
        self._path = path
        self._attempts = Attempts(clock)
        self._stamp = self._look()
        self._principals = read_tokens(path)

    def identify(self, address: str | None, headers: Mapping[str, str]) -> Principal:
        self._refresh()
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("show a token: `Authorization: Bearer …`, or GATEWAY_TOKEN for the command line")
        digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()
        self._attempts.check(address or "", digest)
        found = self._find(digest)
        if found is None:
            self._attempts.wrong(address or "", digest)
            raise Unauthenticated("this token is not known here")
        return found

    def _find(self, digest: str) -> Principal | None:
        """Look at every token, so that the time it takes tells nothing about which one came close."""
        found = None
        for known, principal in self._principals.items():
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._principals = read_tokens(self._path)
        except InvalidSettings as exc:
            log.error("%s; the tokens read before stay in force", exc)

    def _look(self) -> tuple[int, int] | None:
        try:
            seen = self._path.stat()
        except OSError:
            return None
        return seen.st_mtime_ns, seen.st_size


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


def read_tokens(path: Path) -> dict[str, Principal]:
    """Return SHA-256 (hexadecimal, lower case) → principal. Raises InvalidSettings, which never quotes the file."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES)
        documents = read_documents(raw)
    except OSError as exc:
        raise InvalidSettings(f"the token file {str(path)!r} cannot be read: {exc.strerror}") from exc
    except ValueError:
        raise InvalidSettings(
            f"the token file {str(path)!r} is no YAML or JSON; see `tokens: [{{name, sha256, role}}]`"
        ) from None
    entries = documents[0].get("tokens") if len(documents) == 1 and isinstance(documents[0], dict) else None
    if not isinstance(entries, list) or not entries:
        raise InvalidSettings(f"the token file {str(path)!r} lists no tokens; write `tokens: [{{name, sha256, role}}]`")
    principals: dict[str, Principal] = {}
    for number, entry in enumerate(entries, start=1):
        digest, principal = _entry(path, number, entry)
        if digest in principals or any(known.name == principal.name for known in principals.values()):
            raise InvalidSettings(
                f"the token file {str(path)!r}: entry {number} repeats a name or a token of an earlier one"
            )
        principals[digest] = principal
    return principals


def _entry(path: Path, number: int, entry: Any) -> tuple[str, Principal]:
    where = f"the token file {str(path)!r}: entry {number}"
    if not isinstance(entry, dict) or set(entry) != {"name", "sha256", "role"}:
        raise InvalidSettings(f"{where} must have exactly the members name, sha256 and role")
    name, digest, role = (str(entry[member]) for member in ("name", "sha256", "role"))
    if NAME.fullmatch(name) is None:
        raise InvalidSettings(f"{where}: a name is 1 to 64 printable ASCII characters")
    if SHA256.fullmatch(digest.lower()) is None:
        raise InvalidSettings(
            f"{where}: sha256 is the token's SHA-256, 64 hexadecimal digits (`printf %s TOKEN | sha256sum`)"
        )
    if role.upper() not in Role.__members__:
        raise InvalidSettings(f"{where}: a role is viewer, operator or admin")
    return digest.lower(), Principal(name, Role[role.upper()])


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
