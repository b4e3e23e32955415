"""The door with tokens, and the file that lists them.

Tokens are known by their SHA-256, so neither the file nor this process can give one away. The file is read again
when it changes; a broken new one keeps what was read before.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from gateway.control.auth import EVERY_MODEL, NAME, Attempts, Principal, Role
from gateway.control.followed_file import FollowedFile
from gateway.core.errors import InvalidSettings, Unauthenticated
from gateway.strict_yaml import read_documents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
PATTERN: Final = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._-]{0,62}\*?", re.ASCII)
"""A model's name, or the beginning of names with ``*`` behind."""
DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
MAX_FILE_BYTES: Final = 1 << 20

SHOWN: Final = "`tokens: [{name, sha256, role}]` or `groups: [{group, role}]`"


@dataclass(frozen=True, slots=True)
class Token:
    """Who shows a token, and when it ends: *expires* is in seconds since the epoch, None for never."""

    principal: Principal
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """What the members of a group of the proxy's may do."""

    name: str
    role: Role
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """What a token file says. *tokens*: SHA-256 (hexadecimal, lower case) → token; of *groups* the first that fits."""

    tokens: Mapping[str, Token]
    groups: tuple[Group, ...]


class TokenFile:
    """Lets in whoever shows a bearer token of the file. Implements ``auth.Door``."""

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        """*clock* counts wrong tokens, *now* is in seconds since the epoch. Raises InvalidSettings for a bad file."""
        self.attempts = Attempts(clock)
        self._now = now
        self._file = FollowedFile(path, read_access, "the tokens read before stay in force")

    @property
    def access(self) -> Access:
        """What the file says now, or said when it could last be read."""
        return self._file.now()

    def identify(self, address: str | None, headers: Mapping[str, str]) -> Principal:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not shown.strip():
            raise Unauthenticated("show a token: `Authorization: Bearer …`, or GATEWAY_TOKEN for the command line")
        digest = hashlib.sha256(shown.strip().encode("utf-8", "surrogateescape")).hexdigest()
        self.attempts.check(address or "", digest)
        token = _find(self.access, digest)
        if token is None:
            self.attempts.wrong(address or "", digest)
            raise Unauthenticated("this token is not known here")
        if token.expires is not None and token.expires <= self._now():
            ended = datetime.fromtimestamp(token.expires, UTC).strftime("%Y-%m-%d %H:%MZ")
            raise Unauthenticated(f"this token expired at {ended}; ask whoever keeps the token file for a new one")
        return dataclasses.replace(token.principal, address=address or "")


def _find(access: Access, digest: str) -> Token | None:
    """Look at every token, so that the time it takes tells nothing about which one came close."""
    found = None
    for known, token in access.tokens.items():
        if hmac.compare_digest(known, digest):
            found = token
    return found


def read_access(path: Path) -> Access:
    """Return what the file at *path* says. Raises InvalidSettings, which never quotes the file."""
    where = f"the token file {str(path)!r}"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES)
        documents = read_documents(raw)
    except OSError as exc:
        raise InvalidSettings(f"{where} cannot be read: {exc.strerror}") from exc
    except ValueError:
        raise InvalidSettings(f"{where} is no YAML or JSON; see {SHOWN}") from None
    members = documents[0] if len(documents) == 1 and isinstance(documents[0], dict) else {}
    listed = [members.get(name, []) for name in ("tokens", "groups")]
    if not members.keys() <= {"tokens", "groups"} or not all(isinstance(each, list) for each in listed):
        raise InvalidSettings(f"{where} must hold lists under tokens and groups, and nothing else; see {SHOWN}")
    if not any(listed):
        raise InvalidSettings(f"{where} lists no tokens; write {SHOWN}")
    tokens: dict[str, Token] = {}
    for number, entry in enumerate(listed[0], start=1):
        digest, token = _token(f"{where}: entry {number}", entry)
        if digest in tokens or any(known.principal.name == token.principal.name for known in tokens.values()):
            raise InvalidSettings(f"{where}: entry {number} repeats a name or a token of an earlier one")
        tokens[digest] = token
    return Access(tokens, tuple(_group(f"{where}: group {number}", each) for number, each in enumerate(listed[1], 1)))


def _token(where: str, entry: Any) -> tuple[str, Token]:
    _check_members(where, entry, ("name", "sha256", "role"), ("expires", "models"))
    digest = str(entry["sha256"]).lower()
    if SHA256.fullmatch(digest) is None:
        raise InvalidSettings(
            f"{where}: sha256 is the token's SHA-256, 64 hexadecimal digits (`printf %s TOKEN | sha256sum`)"
        )
    principal = Principal(_name(where, entry["name"]), _role(where, entry["role"]), _models(where, entry))
    return digest, Token(principal, _end(where, entry["expires"]) if "expires" in entry else None)


def _group(where: str, entry: Any) -> Group:
    _check_members(where, entry, ("group", "role"), ("models",))
    return Group(_name(where, entry["group"]), _role(where, entry["role"]), _models(where, entry))


def _check_members(where: str, entry: Any, needed: tuple[str, ...], possible: tuple[str, ...]) -> None:
    if not isinstance(entry, dict) or not set(needed) <= entry.keys() <= {*needed, *possible}:
        raise InvalidSettings(
            f"{where} must have the members {', '.join(needed)}, may have {' and '.join(possible)}, and no others"
        )


def _name(where: str, name: Any) -> str:
    if NAME.fullmatch(str(name)) is None:
        raise InvalidSettings(f"{where}: a name is 1 to 64 printable ASCII characters")
    return str(name)


def _role(where: str, role: Any) -> Role:
    if str(role).upper() not in Role.__members__:
        raise InvalidSettings(f"{where}: a role is viewer, operator or admin")
    return Role[str(role).upper()]


def _models(where: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    listed = entry.get("models", list(EVERY_MODEL))
    if not isinstance(listed, list) or not listed or not all(PATTERN.fullmatch(str(each)) for each in listed):
        raise InvalidSettings(
            f'{where}: models is a list of names, or beginnings of names with * behind, such as ["fraud", "churn-*"]'
        )
    return tuple(str(each) for each in listed)


def _end(where: str, written: Any) -> float:
    """Return when a token ends, in seconds since the epoch: a date is the end of that day, UTC."""
    text = str(written)
    try:
        if DATE.fullmatch(text):
            return (datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.timestamp()
    except (ValueError, OverflowError):
        pass
    raise InvalidSettings(f"{where}: expires is a date such as 2027-01-31, or a time such as 2027-01-31T18:00:00Z")
