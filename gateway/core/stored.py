"""A route and its seating as the store holds them: canonical JSON, and its SHA-256 beside it.

What is in the store is untrusted: another release may have written it, a person may have edited it, half of it may be
missing. What cannot be read whole is refused with one word, and the caller keeps the route that it serves.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway.core import seating as seatings
from gateway.core.document import RouteDocument, parse
from gateway.core.errors import CorruptRoute, InvalidDocument
from gateway.core.members import at, shown
from gateway.core.strict_json import MAX_BYTES, strict_json

if TYPE_CHECKING:
    from gateway.core.seating import Seating

SCHEMA: Final = 1


def encode(document: RouteDocument, seating: Seating) -> bytes:
    """Return the payload of *document* as seated by *seating*: equal values give equal bytes.

    Raises InvalidDocument where it would be larger than what ``decode`` takes.
    """
    body = {"schema": SCHEMA, "route": document.as_dict(), "seating": seating.as_dict()}
    payload = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    if len(payload) > MAX_BYTES:
        reason = "use fewer rules, or another salt, which seats everybody anew"
        raise InvalidDocument(
            "", f"the route and its seating fill {len(payload)} of at most {MAX_BYTES} bytes; {reason}"
        )
    return payload


def digest(payload: bytes) -> str:
    """Return the SHA-256 of *payload*, hexadecimal in lower case."""
    return sha256(payload).hexdigest()


def decode(model: str, payload: bytes, digest: str) -> tuple[RouteDocument, Seating]:
    """Return what *payload*, stored for *model* beside *digest*, holds.

    Raises CorruptRoute with the reason too_large, digest_mismatch, not_json, newer_schema or invalid.
    """
    if len(payload) > MAX_BYTES:
        raise CorruptRoute(model, "too_large", f"{len(payload)} bytes, at most {MAX_BYTES} are read")
    if sha256(payload).hexdigest() != digest:
        raise CorruptRoute(model, "digest_mismatch", "these are not the bytes that were written; restore a snapshot")
    try:
        body = strict_json(payload)
    except InvalidDocument as exc:
        raise CorruptRoute(model, "not_json", exc.reason) from exc
    try:
        return _read(model, body)
    except InvalidDocument as exc:
        raise CorruptRoute(model, "invalid", str(exc)) from exc


def _read(model: str, body: object) -> tuple[RouteDocument, Seating]:
    schema = body.get("schema") if isinstance(body, dict) else None
    if type(schema) is int and schema > SCHEMA:
        raise CorruptRoute(model, "newer_schema", f"schema {schema}; this release reads {SCHEMA}, upgrade it")
    if not isinstance(body, dict) or type(schema) is not int or schema != SCHEMA:
        raise InvalidDocument("schema", f"{shown(schema)} is not {SCHEMA}")
    if body.keys() != {"schema", "route", "seating"}:
        raise InvalidDocument("", "the members are not schema, route and seating")
    with at("route"):
        document = parse(body["route"], model=model)
    with at("seating"):
        return document, seatings.parse(body["seating"], document)
