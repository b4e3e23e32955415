"""A route, its seating and its rollout as the store holds them: canonical JSON, and its SHA-256 beside it.

What is in the store is untrusted: another release may have written it, a person may have edited it, half of it may be
missing. What cannot be read whole is refused with one word, and the caller keeps the route that it serves.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from gateway.core import seating as seatings
from gateway.core import stored_rollout
from gateway.core.document import RouteDocument, parse
from gateway.core.errors import CorruptRoute, InvalidDocument
from gateway.core.members import at, members_of, shown
from gateway.core.splits import version_of
from gateway.core.strict_json import MAX_BYTES, strict_json

if TYPE_CHECKING:
    from gateway.core.rollout import Rollout
    from gateway.core.seating import Seating

SCHEMA: Final = 1
MEMBERS: Final = ("schema", "route", "seating")
OPTIONAL: Final = ("rollout", "quarantine")

DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
MAX_QUARANTINED: Final = 100
"""So many versions of a model are remembered as taken back; the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A model file that a rollout took back: it gets no weight until a retry or a forced write.

    *digest*: SHA-256 of the file, hexadecimal. *reason*: of the rollback, for people.
    """

    digest: str
    version: int
    reason: str

    def as_dict(self) -> dict[str, Any]:
        return {"digest": self.digest, "version": str(self.version), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Held:
    """All that is written at once: the route, who sits where, its last rollout, and what rollouts took back."""

    document: RouteDocument
    seating: Seating
    rollout: Rollout | None = None
    quarantine: tuple[Quarantined, ...] = ()


def encode(held: Held) -> bytes:
    """Return the payload of *held*: equal values give equal bytes.

    Raises InvalidDocument where it would be larger than what ``decode`` takes.
    """
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "route": held.document.as_dict(),
        "seating": held.seating.as_dict(),
    }
    if held.rollout is not None:
        body["rollout"] = stored_rollout.as_dict(held.rollout)
    if held.quarantine:
        body["quarantine"] = [each.as_dict() for each in held.quarantine[-MAX_QUARANTINED:]]
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


def decode(model: str, payload: bytes, digest: str) -> Held:
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


def _read(model: str, body: object) -> Held:
    schema = body.get("schema") if isinstance(body, dict) else None
    if type(schema) is int and schema > SCHEMA:
        raise CorruptRoute(model, "newer_schema", f"schema {schema}; this release reads {SCHEMA}, upgrade it")
    if not isinstance(body, dict) or type(schema) is not int or schema != SCHEMA:
        raise InvalidDocument("schema", f"{shown(schema)} is not {SCHEMA}")
    members = members_of(body, (*MEMBERS, *OPTIONAL), needed=MEMBERS, what="stored route")
    with at("route"):
        document = parse(members["route"], model=model)
    with at("seating"):
        seating = seatings.parse(members["seating"], document)
    with at("rollout"):
        rollout = stored_rollout.read_rollout(members["rollout"]) if "rollout" in members else None
    with at("quarantine"):
        return Held(document, seating, rollout, _quarantine(members.get("quarantine", [])))


def _quarantine(data: object) -> tuple[Quarantined, ...]:
    if not isinstance(data, list):
        raise InvalidDocument("", f"{shown(data)} is no list")
    found = []
    for index, entry in enumerate(data):
        with at(f"[{index}]"):
            names = ("digest", "version", "reason")
            members = members_of(entry, names, needed=names, what="quarantined file")
            digest, reason = members["digest"], members["reason"]
            if not isinstance(digest, str) or DIGEST.fullmatch(digest) is None or not isinstance(reason, str):
                raise InvalidDocument("", "does not name a file by its SHA-256, with a reason")
            found.append(Quarantined(digest, version_of(members["version"]), reason))
    return tuple(found)
