"""Fields of a hash or a stream ↔ the values of ``gateway.ports``.

Nothing here trusts what it reads: the store may hold anything under our keys. A route with
garbage in its fields is one of two things: a head with CORRUPT_REVISION, or a CorruptRoute.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from gateway.core.audit import GENESIS, entry_digest, members_of
from gateway.core.errors import CorruptRoute, InvalidDocument
from gateway.core.names import version_number
from gateway.core.versions import WHOLE_MODEL
from gateway.ports.routes import AuditEntry, RouteHead, StoredRoute
from gateway.store.keys import PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CORRUPT_REVISION: Final = -1
"""The revision of a head whose fields are no route. ``write(…, expected=-1)`` replaces such a route by a good one."""

HEAD_FIELDS: Final = ("incarnation", "revision", "digest", "orders")
ROUTE_FIELDS: Final = ("incarnation", "revision", "digest", "document")

INCARNATION: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")
REVISION: Final = re.compile(rb"[1-9][0-9]{0,14}")
DIGEST: Final = re.compile(rb"[0-9a-f]{64}")

VERBS: Final = ("load", "unload")

ENTRY_ID: Final = re.compile(rb"[0-9]{1,16}-[0-9]{1,16}")
EVERY_VERSION: Final = "all"


def digest_of(payload: bytes) -> str:
    """Return the SHA-256 of *payload*, hexadecimal."""
    return hashlib.sha256(payload).hexdigest()


def check_size(payload: bytes) -> None:
    """Raise InvalidDocument for a payload that no reader would take."""
    if len(payload) > PAYLOAD_BYTES:
        raise InvalidDocument("", f"the route takes {len(payload)} bytes; {PAYLOAD_BYTES} is the most")


def new_incarnation() -> str:
    """Return a random incarnation."""
    return secrets.token_hex(8)


def check_incarnation(incarnation: str | None) -> None:
    """Raise ValueError for an incarnation that could not be read back."""
    if incarnation is not None and INCARNATION.fullmatch(incarnation.encode()) is None:
        raise ValueError(f"an incarnation is 1 to 64 letters, digits, dashes and underscores, not {incarnation!r}")


def check_order(version: int, verb: str) -> None:
    """Raise ValueError for an order that could not be read back."""
    if verb not in VERBS or ordered_version(str(version)) is None:
        raise ValueError(f"an order is to load or unload a version, not to {verb!r} {version!r}")


def ordered_version(text: str) -> int | None:
    """Return the version, or WHOLE_MODEL, that an order writes as *text*; None for anything else."""
    return WHOLE_MODEL if text == str(WHOLE_MODEL) else version_number(text)


def corrupt_head() -> RouteHead:
    """Return the head that stands for garbage."""
    return RouteHead("", CORRUPT_REVISION, "", {})


def head_of(fields: Sequence[bytes | None]) -> RouteHead | None:
    """Return the head that the values of HEAD_FIELDS make, None where the model has neither route nor orders."""
    incarnation, revision, digest, orders = fields
    if incarnation is None and revision is None and digest is None:
        return None if orders is None else RouteHead("", 0, "", orders_of(orders))
    if not _is_identity(incarnation, revision, digest):
        return corrupt_head()
    assert incarnation is not None
    assert revision is not None
    assert digest is not None
    return RouteHead(incarnation.decode(), int(revision), digest.decode(), orders_of(orders))


def route_of(model: str, fields: Sequence[bytes | None]) -> StoredRoute | None:
    """Return the route that the values of ROUTE_FIELDS make, None where there is none of them. Raises CorruptRoute."""
    incarnation, revision, digest, document = fields
    if incarnation is None and revision is None and digest is None and document is None:
        return None
    if incarnation is None or revision is None or digest is None or document is None:
        missing = ", ".join(name for name, value in zip(ROUTE_FIELDS, fields, strict=True) if value is None)
        raise CorruptRoute(model, "missing_field", f"the hash lacks {missing}")
    if not _is_identity(incarnation, revision, digest):
        raise CorruptRoute(model, "bad_field", "incarnation, revision or digest cannot be read")
    if len(document) > PAYLOAD_BYTES:
        raise too_large(model, len(document))
    if digest_of(document) != digest.decode():
        raise CorruptRoute(model, "digest_mismatch", "the document is not the one that was written")
    return StoredRoute(incarnation.decode(), int(revision), digest.decode(), document)


def too_large(model: str, size: int) -> CorruptRoute:
    """Return the refusal of a stored document of *size* bytes."""
    return CorruptRoute(model, "too_large", f"the document has {size} bytes; {PAYLOAD_BYTES} is the most")


def orders_of(raw: bytes | None) -> dict[int, str]:
    """Return version → verb. What is no order is left out: garbage here must not hold back the route beside it."""
    try:
        held = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(held, dict):
        return {}
    numbered = ((ordered_version(text), verb) for text, verb in held.items())
    return {version: verb for version, verb in numbered if version is not None and verb in VERBS}


def audit_fields(entry: AuditEntry) -> dict[str, bytes]:
    """Return what the stream keeps of *entry*; revision and clock are the store's to add."""
    return {
        "who": _text(entry.who),
        "reason": _text(entry.reason),
        "action": _text(entry.action),
        "before": _document(entry.before),
        "after": _document(entry.after),
        "address": _text(entry.address),
        "previous": _text(entry.previous),
    }


def version_named(version: int) -> str:
    """Return how an audit entry names the *version* of an order."""
    return EVERY_VERSION if version == WHOLE_MODEL else str(version)


def check_entry_id(entry_id: str) -> None:
    """Raise InvalidDocument for what is no id of an audit entry."""
    if ENTRY_ID.fullmatch(entry_id.encode("utf-8", "replace")) is None:
        raise InvalidDocument("before", "this is no id of an entry; take one from the history")


def previous_of(newest: AuditEntry | None) -> str:
    """Return what the entry after *newest* holds; None begins a chain, as what cannot be read does."""
    return GENESIS if newest is None else entry_digest(members_of(newest))


def entry_of(entry_id: bytes, fields: Mapping[bytes, bytes]) -> AuditEntry | None:
    """Return the entry that a stream's *fields* under *entry_id* make, None where they make none."""
    try:
        before, after = json.loads(fields[b"before"]), json.loads(fields[b"after"])
        revision = int(fields[b"revision"])
        who, reason, action = (fields[name].decode() for name in (b"who", b"reason", b"action"))
        address, previous = (fields.get(name, b"").decode() for name in (b"address", b"previous"))
        ordered = ordered_version(fields.get(b"version", b"").decode())
    except (KeyError, ValueError, RecursionError):
        return None
    if not isinstance(before, dict | None) or not isinstance(after, dict | None):
        return None
    return AuditEntry(
        revision, who, reason, action, before, after, int(entry_id.partition(b"-")[0]),
        address, "" if ordered is None else version_named(ordered), entry_id.decode(), previous,
    )  # fmt: skip


def _is_identity(incarnation: bytes | None, revision: bytes | None, digest: bytes | None) -> bool:
    return (
        incarnation is not None
        and revision is not None
        and digest is not None
        and INCARNATION.fullmatch(incarnation) is not None
        and REVISION.fullmatch(revision) is not None
        and DIGEST.fullmatch(digest) is not None
    )


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _document(document: Mapping[str, Any] | None) -> bytes:
    return json.dumps(None if document is None else dict(document), separators=(",", ":"), allow_nan=False).encode()
