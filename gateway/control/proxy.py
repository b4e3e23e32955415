"""The door behind a reverse proxy that knows its users, such as one that signs them in by OpenID Connect.

The proxy shows a secret with each request, and only then its word about the user is believed. What the user may do
stands in the token file under ``groups``. Whoever shows no secret is let in by a token, or not at all.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING, Final

from gateway.control.auth import NAME, Principal
from gateway.control.followed_file import FollowedFile
from gateway.core.errors import Forbidden, InvalidSettings, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.control.token_file import TokenFile

SECRET: Final = "x-gateway-proxy-secret"  # noqa: S105 - the name of a header
USER: Final = "x-forwarded-user"
GROUPS: Final = "x-forwarded-groups"
FOR: Final = "x-forwarded-for"

LEAST_CHARACTERS: Final = 16
MAX_FILE_BYTES: Final = 64 << 10


class ProxyDoor:
    """Lets in whom the proxy names, and otherwise whoever shows a token. Implements ``auth.Door``."""

    def __init__(self, tokens: TokenFile, path: Path) -> None:
        """*path* holds the secret, and while it is changed the one before too. Raises InvalidSettings."""
        self._tokens = tokens
        self._secrets = FollowedFile(path, read_secrets, "the secret read before stays in force")

    def identify(self, address: str | None, headers: Mapping[str, str]) -> Principal:
        shown = _only(headers, SECRET)
        if shown is None:
            return self._by_token(address, headers)
        self._check_secret(address or "", shown)
        user = _only(headers, USER) or ""
        if NAME.fullmatch(user) is None:
            raise Unauthenticated(f"the proxy names nobody: it must set {USER} to 1 to 64 printable ASCII characters")
        named = {each.strip() for each in (_only(headers, GROUPS) or "").split(",")}
        for group in self._tokens.access.groups:
            if group.name in named:
                return Principal(user, group.role, group.models, _behind(address, headers))
        raise Forbidden(f"no group of {user!r} is listed in the token file under `groups`; ask whoever keeps it")

    def _by_token(self, address: str | None, headers: Mapping[str, str]) -> Principal:
        if USER in headers and "authorization" not in headers:
            raise Unauthenticated(f"{USER} is believed only beside the secret of the proxy, in {SECRET}")
        return self._tokens.identify(address, headers)

    def _check_secret(self, address: str, shown: str) -> None:
        digest = hashlib.sha256(shown.encode("utf-8", "surrogateescape")).hexdigest()
        self._tokens.attempts.check(address, digest)
        matches = [hmac.compare_digest(known, digest) for known in self._secrets.now()]
        if not any(matches):
            self._tokens.attempts.wrong(address, digest)
            raise Unauthenticated(f"the proxy's secret in {SECRET} is not the one in --admin-proxy-secret-file")


def read_secrets(path: Path) -> tuple[str, ...]:
    """Return the SHA-256 of each line. Raises InvalidSettings, which never quotes the file."""
    where = f"the proxy's secret file {str(path)!r}"
    try:
        with path.open("rb") as file:
            lines = file.read(MAX_FILE_BYTES).decode("ascii").split("\n")
    except OSError as exc:
        raise InvalidSettings(f"{where} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise InvalidSettings(f"{where} is not ASCII; a header could not hold it") from None
    secrets = [line.strip() for line in lines if line.strip()]
    if not 1 <= len(secrets) <= 2 or any(len(each) < LEAST_CHARACTERS for each in secrets):
        raise InvalidSettings(
            f"{where} must hold one secret of {LEAST_CHARACTERS} characters or more, or two while it is changed, "
            f"each on a line; make one with `openssl rand -hex 32`"
        )
    return tuple(hashlib.sha256(each.encode()).hexdigest() for each in secrets)


def _only(headers: Mapping[str, str], name: str) -> str | None:
    """Return the value of the header *name*, None without one. Raises Unauthenticated where it is there twice."""
    found = [value for each, value in headers.items() if each.lower() == name]
    if len(found) > 1:
        raise Unauthenticated(f"{name} is there twice: the proxy must replace what callers send under that name")
    return found[0] if found else None


def _behind(address: str | None, headers: Mapping[str, str]) -> str:
    """Return whom the proxy got the request from: it puts that behind whatever the caller claimed."""
    said = [value for name, value in headers.items() if name.lower() == FOR]
    last = said[-1].rpartition(",")[2].strip() if said else ""
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        return address or ""
