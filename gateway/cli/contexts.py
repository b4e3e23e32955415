"""The gateways that this user has named: one file of addresses, which never holds a token.

JSON, so that every command can read it with the standard library. The file says where tokens are sent, so it is
written for its owner alone and is not believed where somebody else could have written it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.client_certificate import ClientCertificate
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.core.errors import InvalidSettings
from gateway.settings import configuration_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = "contexts.json"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
MAX_BYTES: Final = 1 << 20
WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Context:
    """One gateway: the address of its admin port, and the files that hold the token and the certificate for it."""

    url: str
    token_file: Path | None = None
    certificate: ClientCertificate | None = None


@dataclass(frozen=True, slots=True)
class Contexts:
    """All that are known, by name. *current* is the one in use, None where none is."""

    known: Mapping[str, Context] = field(default_factory=dict)
    current: str | None = None

    def named(self, name: str | None) -> Context | None:
        """Return the context *name*, or without a name the one in use. Raises CommandMisused for an unknown one."""
        chosen = name or self.current
        if chosen is None:
            return None
        if chosen not in self.known:
            known = ", ".join(self.known) or "none"
            raise CommandMisused(f"there is no context {chosen!r} (there: {known}); `gateway context add` makes one")
        return self.known[chosen]


def contexts_file() -> Path:
    """Return where the contexts lie."""
    return configuration_directory() / FILE


def read_contexts() -> Contexts:
    """Return what the file says, nothing where there is none. Raises CommandFailed where it is not to be believed."""
    try:
        path = contexts_file()
    except InvalidSettings:  # a user without a home, as in a container, keeps none
        return Contexts()
    try:
        with path.open("rb") as file:
            mode, raw = os.fstat(file.fileno()).st_mode, file.read(MAX_BYTES)
    except FileNotFoundError:
        return Contexts()
    except OSError as exc:
        raise CommandFailed(f"the contexts in {str(path)!r} cannot be read: {exc.strerror}") from exc
    if mode & WRITABLE_BY_OTHERS:
        raise CommandFailed(f"others can write {str(path)!r}, which says where tokens are sent; `chmod 600` it")
    try:
        return _parse(json.loads(raw))
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise CommandFailed(f"{str(path)!r} holds no contexts; mend it, or remove it and add them again") from exc


def _parse(data: Any) -> Contexts:
    known = {}
    for name, each in data["contexts"].items():
        url, file = each["url"], each.get("token_file")
        cert, key = each.get("client_cert"), each.get("client_key")
        if not (NAME.fullmatch(name) and isinstance(url, str)):
            raise ValueError(name)
        known[name] = Context(url, Path(file) if file else None, _certificate(cert, key))
    current = data.get("current")
    return Contexts(known, current if current in known else None)


def _certificate(cert: str | None, key: str | None) -> ClientCertificate | None:
    return ClientCertificate(Path(cert), Path(key) if key else None) if cert else None


def write_contexts(contexts: Contexts) -> None:
    """Replace the file as a whole, for its owner alone (mode 0600). Raises CommandFailed."""
    path = contexts_file()
    data = {"current": contexts.current, "contexts": {name: as_dict(each) for name, each in contexts.known.items()}}
    fresh = path.with_name(f".{FILE}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(data, file, indent=2)
            file.write("\n")
        fresh.replace(path)
    except OSError as exc:
        fresh.unlink(missing_ok=True)
        raise CommandFailed(f"the contexts cannot be written to {str(path)!r}: {exc.strerror}") from exc


def as_dict(context: Context) -> dict[str, str | None]:
    """Return *context* as the file and `--json` write it."""
    shown = context.certificate
    files = {
        "token_file": context.token_file,
        "client_cert": shown.cert if shown else None,
        "client_key": shown.key if shown else None,
    }
    return {"url": context.url, **{name: str(file) if file else None for name, file in files.items()}}
