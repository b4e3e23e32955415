"""Who is told what: the file of ``--webhooks``, read once and whole.

A secret, and an address that is one, stands in a file or a variable of its own. What is read of them is in no
message, no log and no representation.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateway.core.errors import InvalidDocument, InvalidSettings
from gateway.core.members import at, check_choice, members_of, shown
from gateway.core.names import MODEL_NAME
from gateway.core.notification import Kind
from gateway.strict_yaml import read_document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.core.notification import Notification

FORMATS: Final = ("generic", "slack", "teams")
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
MEMBERS: Final = ("name", "url", "format", "events", "models", "secret")
MAX_FILE_BYTES: Final = 1 << 20
MAX_TARGETS: Final = 32
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how every secret begins, and none
SECRET_BYTES: Final = (24, 64)
"""The least and the most that Standard Webhooks asks of a secret."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where notifications go. *events* and *models* (beginnings of names): empty is all. Each of *secrets* signs."""

    name: str
    url: str = field(repr=False)
    format: str = "generic"
    events: frozenset[Kind] = frozenset()
    models: tuple[str, ...] = ()
    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    def wants(self, notification: Notification) -> bool:
        """Say whether this target is to be told *notification*."""
        return self.wants_model(notification.model) and (not self.events or notification.kind in self.events)

    def wants_model(self, model: str) -> bool:
        """Say whether anything of *model* goes to this target."""
        return not self.models or model.startswith(self.models)

    def describe(self) -> dict[str, Any]:
        """Return what may be shown: of the address the host only, for a path may be a secret."""
        return {
            "name": self.name,
            "host": urlsplit(self.url).netloc,
            "format": self.format,
            "events": sorted(kind.value for kind in self.events or Kind),
            "models": list(self.models),
        }


def read_targets(path: Path, read_variable: Callable[[str], str | None]) -> tuple[Target, ...]:
    """Return the targets in the file at *path*; *read_variable* returns a variable of the environment.

    Raises InvalidSettings, naming the file and the member.
    """
    try:
        content = _read_file(path)
        data = members_of(read_document(content), ("targets",), needed=("targets",), what="file of webhooks")
        with at("targets"):
            return _targets(data["targets"], path.parent, read_variable)
    except (InvalidDocument, ValueError) as exc:
        raise InvalidSettings(f"the webhooks in {str(path)!r} cannot be used: {exc}") from exc


def _targets(data: object, directory: Path, read_variable: Callable[[str], str | None]) -> tuple[Target, ...]:
    if not isinstance(data, list) or not 1 <= len(data) <= MAX_TARGETS:
        raise InvalidDocument("", f"{shown(data)} is no list of 1 to {MAX_TARGETS} targets")
    found: dict[str, Target] = {}
    for index, each in enumerate(data):
        with at(f"[{index}]"):
            target = _target(each, directory, read_variable)
            if target.name in found:
                raise InvalidDocument("name", f"{target.name} is written twice; deliveries are kept by name")
            found[target.name] = target
    return tuple(found.values())


def _target(data: object, directory: Path, read_variable: Callable[[str], str | None]) -> Target:
    given = members_of(data, MEMBERS, needed=("name", "url"), what="target")
    kind = given.get("format", "generic")
    with at("format"):
        check_choice(kind, FORMATS)
    with at("name"):
        if not isinstance(given["name"], str) or NAME.fullmatch(given["name"]) is None:
            raise InvalidDocument("", f"{shown(given['name'])} is no name; use lower-case letters, digits and hyphens")
    with at("url"):
        url = given["url"]
        url = _checked_url(url if isinstance(url, str) else _secret(url, directory, read_variable))
    return Target(
        given["name"],
        url,
        kind,
        frozenset(map(Kind, _listed(given, "events", tuple(Kind)))),
        tuple(_listed(given, "models", None)),
        _secrets(given, kind, directory, read_variable),
    )


def _checked_url(url: str) -> str:
    """Return *url* if something can be sent there; a refusal never shows it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable or re.fullmatch(r"[!-~]+", url, re.ASCII) is None or parts.fragment:
        raise InvalidDocument("", "this is no address; write http(s)://HOST[:PORT]/PATH without user and password")
    return url


def _listed(given: Any, name: str, choices: tuple[str, ...] | None) -> list[str]:
    """Return the texts under *name*: each one of *choices*, or without them the beginning of a model's name."""
    with at(name):
        texts = given.get(name, [])
        if not isinstance(texts, list):
            raise InvalidDocument("", f"{shown(texts)} is no list; write such as [{(choices or ('fraud',))[0]}]")
        for text in texts:
            if choices is not None:
                check_choice(text, choices)
            elif not isinstance(text, str) or MODEL_NAME.fullmatch(text) is None:
                raise InvalidDocument("", f"{shown(text)} begins no model's name")
        return texts


def _secrets(given: Any, kind: str, directory: Path, read_variable: Callable[[str], str | None]) -> tuple[bytes, ...]:
    with at("secret"):
        if kind != "generic":
            if "secret" in given:
                raise InvalidDocument("", f"nobody checks a signature on {kind}; leave it out")
            return ()
        if "secret" not in given:
            raise InvalidDocument("", "is missing; a generic target is signed: write {file: PATH} or {env: NAME}")
        lines = _secret(given["secret"], directory, read_variable).split()
        return tuple(map(_key, lines))


def _key(line: str) -> bytes:
    least, most = SECRET_BYTES
    try:
        key = base64.b64decode(line.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not least <= len(key) <= most:
        raise InvalidDocument(
            "",
            f"a line of it is no secret; write {SECRET_PREFIX} and {least} to {most} random bytes in base64 "
            f"(`openssl rand -base64 32`)",
        )
    return key


def _secret(data: object, directory: Path, read_variable: Callable[[str], str | None]) -> str:
    """Return what the file or the variable that *data* names holds; a file's path is relative to *directory*."""
    given = members_of(data, ("file", "env"), what="secret")
    if len(given) != 1 or not all(isinstance(name, str) and name for name in given.values()):
        raise InvalidDocument("", "write {file: PATH} or {env: NAME}; a secret does not stand here itself")
    if "file" in given:
        text = _read_file(directory / given["file"]).decode("utf-8", "replace").strip()
    else:
        text = (read_variable(given["env"]) or "").strip()
    if not text:
        raise InvalidDocument("", f"{shown(next(iter(given.values())))} is not set, or empty")
    return text


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as exc:
        raise InvalidDocument("", f"the file {str(path)!r} cannot be read ({exc.strerror})") from exc
