"""Which entry of a history is the newest, as far as this process knows, so that the next one can hold its digest.

Whoever knows better is the script that writes: it changes nothing for an entry that is linked to another one, and
answers with the newest. A process that writes alone is right at once.

The digest of each entry that is written is logged too: who can rewrite the store cannot rewrite what left by the log.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.store.keys import AUDIT_ENTRIES, CHANGES
from gateway.store.records import audit_fields, entry_of, previous_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.ports.routes import AuditEntry

log = logging.getLogger(__name__)

Newest = dict[str, tuple[bytes, str]]
"""Model → the id of the newest entry of its history, and what the next one holds of it."""


class Linked:
    """One change's entry. *own* are the fields that the script adds to it, beside the revision."""

    def __init__(self, newest: Newest, model: str, entry: AuditEntry, own: Mapping[bytes, bytes] | None = None) -> None:
        self._newest = newest
        self._model = model
        self._entry = entry
        self._own = own or {}
        self._write_id = secrets.token_hex(16)

    def words(self, more: Sequence[Any] = ()) -> list[Any]:
        """Return the last words of the script; the first names this change, *more* are the script's own."""
        after, previous = self._newest.get(self._model, (b"", previous_of(None)))
        self._fields = audit_fields(replace(self._entry, previous=previous))
        pairs = [part for pair in self._fields.items() for part in pair]
        return [self._write_id, AUDIT_ENTRIES, CHANGES, self._model, after, *more, *pairs]

    def is_behind(self, reply: list[Any]) -> bool:
        """Say whether *reply* tells of a newer entry, and remember that one."""
        if reply[0] != b"behind":
            return False
        after, flat = reply[1], reply[2]
        self._remember(after, dict(zip(flat[::2], flat[1::2], strict=True)))
        return True

    def is_written(self, revision: bytes, entry_id: bytes) -> None:
        """Remember that the entry is the newest; the script gave it *revision* and *entry_id*."""
        fields = {name.encode(): value for name, value in self._fields.items()}
        self._remember(entry_id, {**fields, **self._own, b"revision": revision})
        head = self._newest[self._model][1]
        log.info("the history of %r ends in %s at revision %s", self._model, head, revision.decode())

    def _remember(self, entry_id: bytes, fields: Mapping[bytes, bytes]) -> None:
        """Keep what the next entry holds; an empty *entry_id* is that of no entry."""
        entry = entry_of(entry_id, fields) if entry_id else None
        self._newest[self._model] = (entry_id, previous_of(entry))
