"""What a version's inputs and predictions usually look like: for each column the counts of a few bins.

A column of numbers has the deciles of what was seen, one bin below all of it, one above and one for what is missing. A
column of texts has its commonest classes, one bin for all others and one for the empty text; where nobody listed the
classes they are hashed. The share of a text's tokens that the model knows has ten bins and one for no tokens. Nothing
here keeps a row. Read from a file or a store, so every member is checked.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, pairwise
from math import inf, isfinite, nextafter
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, check_choice, members_of, shown
from gateway.core.outputs import BINS, DECILES, VALUE_EDGES
from gateway.core.strict_json import strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT: Final = 1
"""Of the file. A release that finds a higher one does not guess what it says."""

KINDS: Final = ("numbers", "classes", "hashed", "vocabulary")
MAX_COLUMNS: Final = 200
"""Of one version: texts have three each, and one is the prediction."""
VOCABULARY_BINS: Final = 11
NO_TOKENS: Final = 10
"""The bin of texts without a single token; the others are tenths of the tokens that are known, the highest with 1."""
MAX_EDGES: Final = 30
MAX_CLASSES: Final = BINS - 1
MAX_NAME: Final = 400
"""Characters of a column's name, and of a class."""
MAX_BYTES: Final = 1 << 20

PREDICTION: Final = "prediction"
"""The column of what a version answered. An input of that name has its place in brackets, or its length."""

LIVE: Final = "live traffic"

MEMBERS: Final = ("format", "sha256", "created", "source", "digest", "rows", "columns")
COLUMN_MEMBERS: Final = ("name", "kind", "edges", "classes", "counts")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: *counts* has one element per bin. *edges* are upper ends, ascending, of all bins of numbers but two:
    the one above all edges, and the last, for what is missing. *classes* have a bin each, then all others, then none.
    """

    name: str
    kind: str
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_text("name", self.name)
        with at("kind"):
            check_choice(self.kind, KINDS)
        with at("edges"):
            _check_edges(self.edges)
        with at("classes"):
            _check_classes(self.classes)
        bins = {
            "numbers": len(self.edges) + 2, "classes": len(self.classes) + 2, "hashed": BINS,
            "vocabulary": VOCABULARY_BINS,
        }[self.kind]  # fmt: skip
        is_whole = all(type(each) is int and 0 <= each < 1 << 53 for each in self.counts)
        if not is_whole or len(self.counts) != bins:
            raise InvalidDocument("counts", f"are no list of {bins} whole numbers, one for each bin; evaluate again")

    @property
    def rows(self) -> int:
        """Return how many rows were counted."""
        return sum(self.counts)

    @property
    def missing(self) -> tuple[int, ...]:
        """Return the bins of what is missing; none where nothing says so."""
        return () if self.kind == "hashed" else (len(self.counts) - 1,)

    @property
    def outside(self) -> tuple[int, ...]:
        """Return the bins of what lies outside all that was seen: other numbers, other classes; none without such."""
        if self.kind == "numbers":
            return tuple(sorted({0, len(self.edges)}))
        return (len(self.classes),) if self.kind == "classes" else ()

    def called(self, number: int) -> str:
        """Return the bin of this *number* in words, to stand behind "are"."""
        if self.kind == "hashed":
            return f"in class bin {number} of {BINS}"
        if self.kind == "vocabulary":
            return "without tokens" if number == NO_TOKENS else f"known to {number * 10}-{number * 10 + 10}%"
        if number == len(self.counts) - 1:
            return "missing"
        if self.kind == "classes":
            return repr(self.classes[number]) if number < len(self.classes) else "of other classes"
        if number == len(self.edges):
            return f"above {self.edges[-1]:.4g}" if self.edges else "anything"
        return _between(self.edges[number - 1] if number else None, self.edges[number])

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "kind": self.kind, "edges": list(self.edges), "classes": list(self.classes),
            "counts": list(self.counts),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reference:
    """The columns of one version, in the order of its inputs, the prediction last.

    sha256: of the model that was asked, empty for one of live traffic. source: in words, where the rows are from.
    digest: of these rows, empty for live traffic. rows: how many.
    """

    columns: tuple[Column, ...]
    rows: int
    source: str
    created: str = ""
    sha256: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(names) > MAX_COLUMNS or len(set(names)) < len(names):
            raise InvalidDocument("columns", f"are more than {MAX_COLUMNS}, or two have one name; evaluate again")
        for name in ("source", "created", "sha256", "digest"):
            _check_text(name, getattr(self, name))
        if type(self.rows) is not int or not 0 <= self.rows < 1 << 53:
            raise InvalidDocument("rows", f"{shown(self.rows)} is no number of rows")

    @property
    def id(self) -> str:
        """Return what names these bins: counts under another name are in other bins."""
        return sha256(self.encoded()).hexdigest()[:16]

    def column(self, name: str) -> Column | None:
        """Return the column of this *name*; None where there is none."""
        return next((column for column in self.columns if column.name == name), None)

    def encoded(self) -> bytes:
        """Return the bytes of the file; ``read_reference`` reads the same value from them."""
        data = {
            "format": FORMAT, "sha256": self.sha256, "created": self.created, "source": self.source,
            "digest": self.digest, "rows": self.rows, "columns": [column.as_dict() for column in self.columns],
        }  # fmt: skip
        return json.dumps(data, separators=(",", ":"), allow_nan=False).encode()


def _between(low: float | None, high: float) -> str:
    """Return what lies above *low*, where there is one, and at most at *high*, in words.

    The first edge of a column is the number next below all that were seen; the one that was seen, which is shorter, is
    told in its place.
    """
    edge = high if low is None else low
    seen = nextafter(edge, inf) + 0.0  # no minus before a zero
    is_next_below = len(repr(seen)) < len(repr(edge))
    if low is None:
        return f"below {seen:.4g}" if is_next_below else f"at most {high:.4g}"
    if seen == high:
        return f"{high:.4g}"
    return f"from {seen:.4g} to {high:.4g}" if is_next_below else f"above {low:.4g} and at most {high:.4g}"


def read_reference(content: bytes) -> Reference:
    """Return what *content* says. Raises InvalidDocument: a file or a store may hold anything."""
    if len(content) > MAX_BYTES:
        raise InvalidDocument("", f"{len(content)} bytes are too many for a reference; evaluate the version again")
    data = members_of(strict_json(content), MEMBERS, needed=MEMBERS, what="reference")
    if data["format"] != FORMAT:
        raise InvalidDocument(
            "format", f"{shown(data['format'])} is not read by this release, which reads {FORMAT}; evaluate again"
        )
    if not isinstance(data["columns"], list):
        raise InvalidDocument("columns", f"{shown(data['columns'])} is no list of columns")
    columns = []
    for number, each in enumerate(data["columns"]):
        with at(f"columns[{number}]"):
            columns.append(_column(each))
    return Reference(
        tuple(columns), data["rows"], data["source"], data["created"], data["sha256"], data["digest"]
    )  # fmt: skip


def frozen(counts: Mapping[str, Mapping[int, int]], rows: int, created: str) -> Reference:
    """Return the reference that live traffic makes: *counts*, column → bin → rows, in the bins of one without.

    Numbers were counted in the buckets of ``VALUE_EDGES``, with one more for what is missing; texts were hashed, which
    the name of the column says (``hashed_name``).
    """
    columns = [_frozen_column(name, found) for name, found in counts.items()]
    return Reference(tuple(columns[:MAX_COLUMNS]), rows, LIVE, created)


def folded(counts: Mapping[int, int], column: Column) -> list[int]:
    """Return *counts*, in the bins of a version without a reference, in those of *column*, which they were frozen to.

    Exact: the edges of such a column are edges of the fine histogram too. Bins that cannot be are left out.
    """
    found = [0] * len(column.counts)
    for number, many in counts.items():
        if column.kind != "numbers":
            if number < len(found):
                found[number] += many
        elif number < len(VALUE_EDGES):
            found[bisect_left(column.edges, VALUE_EDGES[number])] += many
        else:
            found[-2 if number == len(VALUE_EDGES) else -1] += many
    return found


def hashed_name(name: str) -> str:
    """Return what a column of texts is called while nobody listed its classes."""
    return f"{name} (hashed)"


def vocabulary_name(name: str) -> str:
    """Return what the column of the known tokens of a text is called."""
    return f"{name} vocabulary"


def _frozen_column(name: str, counts: Mapping[int, int]) -> Column:
    if name.endswith(vocabulary_name("")):
        return Column(name, "vocabulary", tuple(counts.get(number, 0) for number in range(VOCABULARY_BINS)))
    if name.endswith(hashed_name("")) or (name == PREDICTION and max(counts, default=0) < BINS):
        return Column(name, "hashed", tuple(counts.get(number, 0) for number in range(BINS)))
    edges = _frozen_edges(counts)
    empty = Column(name, "numbers", (0,) * (len(edges) + 2), edges)
    return Column(name, "numbers", tuple(folded(counts, empty)), edges)


def _frozen_edges(counts: Mapping[int, int]) -> tuple[float, ...]:
    """Return the end of what lies below all numbers counted, their deciles, and the end of the last of them."""
    places = sorted(number for number, many in counts.items() if many and number <= len(VALUE_EDGES))
    if not places:
        return ()
    reached = [*accumulate(counts[number] for number in places)]
    last = len(VALUE_EDGES) - 1
    picked = {places[bisect_left(reached, decile * reached[-1])] for decile in DECILES}
    picked |= {places[-1], max(places[0] - 1, 0)}
    return tuple(VALUE_EDGES[number] for number in sorted({min(number, last) for number in picked}))


def _column(data: object) -> Column:
    members = members_of(data, COLUMN_MEMBERS, needed=COLUMN_MEMBERS, what="column")
    for name in ("edges", "classes", "counts"):
        if not isinstance(members[name], list):
            raise InvalidDocument(name, f"{shown(members[name])} is no list")
    edges, classes, counts = (tuple(members[name]) for name in ("edges", "classes", "counts"))
    return Column(members["name"], members["kind"], counts, edges, classes)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > MAX_NAME:
        raise InvalidDocument(name, f"{shown(value)} is no text of at most {MAX_NAME} characters")


def _check_edges(edges: Sequence[Any]) -> None:
    is_numbers = all(type(each) in {int, float} and isfinite(each) for each in edges)
    if len(edges) > MAX_EDGES or not is_numbers or any(high <= low for low, high in pairwise(edges)):
        raise InvalidDocument("", f"are no list of at most {MAX_EDGES} ascending numbers; evaluate again")


def _check_classes(classes: Sequence[Any]) -> None:
    if len(classes) > MAX_CLASSES or len(set(map(str, classes))) < len(classes):
        raise InvalidDocument("", f"are more than {MAX_CLASSES}, or one is there twice; evaluate again")
    for each in classes:
        _check_text("", each)
