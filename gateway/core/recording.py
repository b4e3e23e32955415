"""What of a model's traffic is recorded, and what is hidden in it before anything is written.

Read from the member ``record`` of a route document. A request in which something cannot be hidden is not recorded, so
a write is refused where the baseline's signature says that it never could be. Pure: the caller brings the draw.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, members_of, shown, step_of, text_of
from gateway.core.quantities import check_seconds, seconds_of, written_seconds
from gateway.core.signature import FLOATS, FREE

if TYPE_CHECKING:
    from gateway.core.signature import Signature, TensorSpec

MEMBERS: Final = ("percent", "redact", "keep", "max_bytes")
KEEP_SECONDS: Final = 24 * 3600
MAX_BYTES: Final = 64 << 20
LEAST_BYTES: Final = 8 << 20
MOST_BYTES: Final = 1 << 40
MAX_REDACTIONS: Final = 1_000

COLUMN: Final = re.compile(r"(.+)\[([0-9]{1,7})\]", re.DOTALL)
SIZE: Final = re.compile(r"([1-9][0-9]{0,6})([mg])", re.ASCII)
UNITS: Final = {"m": 1 << 20, "g": 1 << 30}

POINTS: Final = 1 << 64
SPREAD: Final = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, odd: the high bits of a product with it depend on all lower bits of the draw."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """How a tensor, input or output, is hidden: all of it, or where *column* is given that place of its last axis.

    *how*: ``drop`` leaves the tensor out, ``hash`` puts a keyed hash in place of each value, ``constant`` puts *value*.
    """

    tensor: str
    column: int | None
    how: str
    value: str | float | bool | None = None

    def __post_init__(self) -> None:
        text_of(self.tensor)
        if self.how not in {"drop", "hash", "constant"}:
            raise InvalidDocument("", f"{shown(self.how)} hides nothing; write drop, hash or {{constant: 0}}")
        if self.how == "drop" and self.column is not None:
            raise InvalidDocument("", "a column cannot be left out of its tensor; write hash or {constant: 0}")
        is_finite = not isinstance(self.value, float) or isfinite(self.value)
        if self.how == "constant" and not (isinstance(self.value, str | int | float) and is_finite):
            raise InvalidDocument("constant", f"{shown(self.value)} is no value; write a number, text or true")

    @property
    def name(self) -> str:
        """Return what the document calls it."""
        return self.tensor if self.column is None else f"{self.tensor}[{self.column}]"

    def why_not(self, signature: Signature) -> str:
        """Return why nothing of a version with *signature* can be hidden so, empty where it can, as far as is known."""
        specs = [each for each in (*signature.inputs, *signature.outputs) if each.name == self.tensor]
        if not specs:
            return f"no input or output is called {shown(self.tensor)}"
        return next((why for each in specs if (why := self._why_not(each))), "")

    def _why_not(self, spec: TensorSpec) -> str:
        said = f"{shown(self.tensor)} is {spec.datatype} {list(spec.shape)}"
        if self.column is not None:
            last = spec.shape[-1] if len(spec.shape) > 1 else 0
            if last != FREE and self.column >= last:
                return f"{said} and has no column {self.column}"
        if self.how == "hash" and spec.datatype == "BOOL":
            return f"{said}: two hashes hide no truth value; write {{constant: false}}"
        if self.how == "constant" and not _holds(spec.datatype, self.value):
            return f"{said} and does not hold {shown(self.value)}"
        return ""

    def as_dict(self) -> Any:
        return {"constant": self.value} if self.how == "constant" else self.how


@dataclass(frozen=True, slots=True)
class Record:
    """*percent* of the requests that the route decided are recorded; 0 records none.

    What is recorded is gone after *keep_seconds*, and earlier where the model's recordings would exceed *max_bytes*.
    """

    percent: float
    redact: tuple[Redaction, ...]
    keep_seconds: int = KEEP_SECONDS
    max_bytes: int = MAX_BYTES
    _limit: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        with at("percent"):
            object.__setattr__(self, "_limit", points_of(self.percent))
        with at("keep"):
            check_seconds(self.keep_seconds)
        with at("max_bytes"):
            if type(self.max_bytes) is not int or not LEAST_BYTES <= self.max_bytes <= MOST_BYTES:
                raise InvalidDocument("", f"{shown(self.max_bytes)} bytes are out of range; write 8m to 1024g")
            if self.max_bytes % UNITS["m"]:
                raise InvalidDocument("", f"{self.max_bytes} bytes are no whole MiB; write such as 64m")

    def takes(self, draw: int) -> bool:
        """Say whether the request that drew *draw*, an integer in [0, 2**64), is recorded.

        The same draw may have chosen its version and its shadows; this looks at it through a product, so that the
        recorded requests are a fair sample of every version's.
        """
        return draw * SPREAD & POINTS - 1 < self._limit

    def as_dict(self) -> dict[str, Any]:
        return {
            "percent": self.percent,
            "redact": {each.name: each.as_dict() for each in self.redact},
            "keep": written_seconds(self.keep_seconds),
            "max_bytes": _written_size(self.max_bytes),
        }


def points_of(percent: object) -> int:
    """Return how many of 2**64 points are so many *percent*. Raises InvalidDocument for what is no percent."""
    if isinstance(percent, bool) or not isinstance(percent, int | float):
        raise InvalidDocument("", f"{shown(percent)} is no percent; write a number from 0 to 100")
    if not 0 <= percent <= 100:
        raise InvalidDocument("", f"{shown(percent)} percent are out of range; write 0 to 100")
    return round(percent * (POINTS / 100))


def read_record(data: object) -> Record:
    """Return what the member ``record`` says. Raises InvalidDocument.

    ``redact`` has to be there: that nothing needs to be hidden is written down as ``{}``, and never assumed.
    """
    members = members_of(data, MEMBERS, needed=("percent", "redact"), what="record")
    with at("redact"):
        redact = read_redactions(members["redact"])
    with at("keep"):
        keep = seconds_of(members["keep"]) if "keep" in members else KEEP_SECONDS
    with at("max_bytes"):
        size = _size_of(members["max_bytes"]) if "max_bytes" in members else MAX_BYTES
    return Record(members["percent"], redact, keep, size)


def read_redactions(data: object) -> tuple[Redaction, ...]:
    """Return what the member ``redact`` says: name → how it is hidden. Raises InvalidDocument."""
    if not isinstance(data, Mapping):
        raise InvalidDocument("", f'{shown(data)} names nothing to hide; write such as {{"email": drop}}, or {{}}')
    if len(data) > MAX_REDACTIONS:
        raise InvalidDocument("", f"{len(data)} are too many; hide whole tensors, or at most {MAX_REDACTIONS} columns")
    found = []
    for name, how in data.items():
        with at(step_of(name)):
            found.append(_redaction(name, how))
    return tuple(found)


def _redaction(name: object, how: object) -> Redaction:
    column = COLUMN.fullmatch(name) if isinstance(name, str) else None
    tensor, place = (column[1], int(column[2])) if column else (text_of(name), None)
    if isinstance(how, Mapping):
        value = members_of(how, ("constant",), needed=("constant",), what="redaction")["constant"]
        return Redaction(tensor, place, "constant", value)
    if how == "constant":
        raise InvalidDocument("", "needs a value; write such as {constant: 0}")
    return Redaction(tensor, place, how if isinstance(how, str) else shown(how))


def _holds(datatype: str, value: object) -> bool:
    """Say whether *value* is of the kind of a *datatype*; its range is not looked at."""
    if datatype in {"BYTES", "BOOL"} or isinstance(value, bool | str):
        return isinstance(value, {"BYTES": str, "BOOL": bool}.get(datatype, ()))
    return isinstance(value, int) or datatype in FLOATS


def _size_of(data: object) -> int:
    found = SIZE.fullmatch(data) if isinstance(data, str) else None
    if found is None:
        raise InvalidDocument("", f"{shown(data)} is no size; write such as 64m or 2g")
    return int(found[1]) * UNITS[found[2]]


def _written_size(size: int) -> str:
    """Return *size* in the largest unit that it is a whole number of."""
    unit = "m" if size % UNITS["g"] else "g"
    return f"{size // UNITS[unit]}{unit}"
