"""What passes between the command and the process that rewrites a graph, as files in a directory that both know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.convert.messages import NoMessage, left_message
from gateway.optimization.errors import CannotOptimize

if TYPE_CHECKING:
    from pathlib import Path

ORDER: Final = "order.json"
REPORT: Final = "report.json"
SOURCE: Final = "source.onnx"
COLUMNS: Final = "columns.msgpack"

MAX_REPORT_BYTES: Final = 1 << 20


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done with the graph beside it: the members of a `Rewriting`."""

    seconds: int
    kind: str
    level: str
    amount: float


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it went. *refusal* is empty where the new graph lies beside it; *said* is what there is to tell."""

    refusal: str = ""
    said: str = ""


def read_order(scratch: Path) -> Order:
    """Return the order in *scratch*, which is ours."""
    return msgspec.json.decode((scratch / ORDER).read_bytes(), type=Order)


def read_report(scratch: Path) -> Report | None:
    """Return what the process left, None where it left nothing. Raises CannotConvert and CannotOptimize."""
    try:
        return left_message(scratch / REPORT, Report, MAX_REPORT_BYTES)
    except NoMessage as exc:
        raise CannotOptimize(f"the process that rewrote the graph left a report that is none: {exc}") from exc
