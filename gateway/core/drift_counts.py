"""What one worker counted of a few requests to one version, as it lies in the store between two processes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import members_of, shown
from gateway.core.outputs import VALUE_EDGES
from gateway.core.reference import MAX_COLUMNS, MAX_NAME
from gateway.core.strict_json import strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMBERS: Final = ("version", "digest", "bins", "rows", "counts")
MAX_BIN: Final = len(VALUE_EDGES) + 1
MAX_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Sample:
    """*counts*: column → bin → rows, of *rows* requests, each with one row.

    digest: of the version's model file. bins: ``Reference.id``, empty where the worker had no reference.
    """

    version: int
    digest: str
    bins: str
    rows: int
    counts: Mapping[str, Mapping[int, int]]

    def encoded(self) -> bytes:
        """Return the bytes that a store keeps."""
        data = {
            "version": self.version, "digest": self.digest, "bins": self.bins, "rows": self.rows,
            "counts": {name: list(found.items()) for name, found in self.counts.items()},
        }  # fmt: skip
        return json.dumps(data, separators=(",", ":")).encode()


def read_sample(payload: bytes) -> Sample:
    """Return what *payload* keeps. Raises InvalidDocument: a store may hold anything."""
    data = members_of(strict_json(payload), MEMBERS, needed=MEMBERS, what="sample")
    for name in ("digest", "bins"):
        if not isinstance(data[name], str) or len(data[name]) > MAX_NAME:
            raise InvalidDocument(name, f"{shown(data[name])} is no short text")
    for name, most in (("version", 1 << 53), ("rows", MAX_ROWS)):
        if not _is_whole(data[name], most) or not data[name]:
            raise InvalidDocument(name, f"{shown(data[name])} is no whole number from 1 to {most}")
    counts = data["counts"]
    if not isinstance(counts, dict) or len(counts) > MAX_COLUMNS:
        raise InvalidDocument("counts", f"{shown(counts)} are no counts of at most {MAX_COLUMNS} columns")
    read = {name: _bins(found) for name, found in counts.items()}
    return Sample(data["version"], data["digest"], data["bins"], data["rows"], read)


def _bins(data: object) -> dict[int, int]:
    if not isinstance(data, list) or not all(_is_pair(each) for each in data):
        raise InvalidDocument("counts", f"{shown(data)} is no list of pairs of a bin and its rows")
    return dict(data)


def _is_pair(data: Any) -> bool:
    return isinstance(data, list) and len(data) == 2 and _is_whole(data[0], MAX_BIN) and _is_whole(data[1], MAX_ROWS)


def _is_whole(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most
