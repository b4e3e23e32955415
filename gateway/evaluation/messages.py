"""What passes between the command and the process that asks a version, as files in a directory that both know.

The process ran a graph that somebody gave us, so what it leaves is read by declared types and within bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.convert.messages import MessageT, NoMessage, left_file, left_message
from gateway.evaluation.errors import CannotEvaluate
from gateway.evaluation.tensors import unpack

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ORDER: Final = "order.json"
REPORT: Final = "report.json"
COLUMNS: Final = "columns.msgpack"
ANSWERS: Final = "answers.msgpack"
GRAPH: Final = "model.onnx"
REQUESTS: Final = "requests.jsonl"

MAX_REPORT_BYTES: Final = 8 << 20
MAX_ANSWERS_BYTES: Final = 2 << 30


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be asked: columns and graph lie beside it. *batch_rows* is the size of a timed batch, *adapter* what
    the version's metadata declares."""

    seconds: int
    batch_rows: int
    adapter: dict[str, Any] | None = None


class Times(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long runs took, in milliseconds, one element per run; *rows* is how many rows each run had."""

    rows: int
    milliseconds: list[float]


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it went. *refusal* is empty where the answers lie beside it; *reference* is ``Reference.encoded`` as text.
    *notes* say what of the rows could not be counted for it."""

    refusal: str = ""
    load_ms: float = 0.0
    row: Times = Times(1, [])
    batch: Times = Times(1, [])
    reference: str = ""
    notes: list[str] = []


class Replayed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a replay went. *refusal* is empty where the answers lie beside it.

    *failures*: place of a request, from 0 → why it got no answer. *milliseconds*: of each that did, in their order.
    *datatypes*: of the outputs, by name.
    """

    refusal: str = ""
    failures: dict[int, str] = {}
    milliseconds: list[float] = []
    datatypes: dict[str, str] = {}


def read_order(scratch: Path) -> Order:
    """Return the order in *scratch*, which is ours."""
    return msgspec.json.decode((scratch / ORDER).read_bytes(), type=Order)


def read_report(scratch: Path) -> Report | None:
    """Return what the process left, None where it left nothing. Raises CannotConvert and CannotEvaluate."""
    return _read(scratch, Report)


def read_replayed(scratch: Path) -> Replayed | None:
    """Return what the process of a replay left, as `read_report` does."""
    return _read(scratch, Replayed)


def _read(scratch: Path, kind: type[MessageT]) -> MessageT | None:
    try:
        return left_message(scratch / REPORT, kind, MAX_REPORT_BYTES)
    except NoMessage as exc:
        raise CannotEvaluate(f"the process that asked the version left a report that is none: {exc}") from exc


def read_answers(scratch: Path) -> dict[str, NDArray[Any]]:
    """Return output name → tensor, in the model's order. Raises CannotConvert and CannotEvaluate."""
    with left_file(scratch / ANSWERS, MAX_ANSWERS_BYTES) as file:
        content = file.read()
    try:
        return unpack(content)
    except ValueError as exc:
        raise CannotEvaluate(f"the process that asked the version left answers that are none: {exc}") from exc
