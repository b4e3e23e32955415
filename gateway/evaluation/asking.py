"""What one version answers to rows, and how long it takes, found out in a confined process.

Believes nothing that the process leaves without a look; how it ends is said in words.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.convert.confined import last_words, run_confined, was_killed
from gateway.convert.messages import write_message
from gateway.convert.scratch import scratch_directory
from gateway.core.errors import InvalidModel
from gateway.evaluation import messages
from gateway.evaluation.errors import CannotEvaluate
from gateway.evaluation.messages import Order
from gateway.evaluation.tensors import pack
from gateway.models.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from gateway.evaluation.messages import Report, Times

    Array = NDArray[Any]

MAX_MODEL_BYTES: Final = 4 << 30
BATCH_ROWS: Final = 64
MOST_NOTES: Final = 8


@dataclass(frozen=True, slots=True)
class Latency:
    """How long runs of *rows* rows took, in milliseconds: the median and the 99 % quantile of *runs* runs."""

    rows: int
    runs: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What a version answered, per output in the model's order, and what it took. *sha256* is of what was asked."""

    answers: dict[str, Array]
    load_ms: float
    row: Latency
    batch: Latency
    size_bytes: int
    sha256: str
    reference: bytes = b""
    """What the rows and the answers look like, as ``core.reference`` reads it; whoever reads it checks it."""
    notes: tuple[str, ...] = ()
    """What could not be counted for it, in words; the first MOST_NOTES."""


def ask(
    model: Path,
    columns: Mapping[str, Array],
    *,
    called: str,
    seconds: int,
    adapter: Mapping[str, Any] | None = None,
) -> Asked:
    """Ask the model file, behind its *adapter*, every row of *columns*. *called* names it in errors.

    Raises CannotEvaluate.
    """
    with scratch_directory() as scratch:
        sha256, size = copy_model(model, scratch / messages.GRAPH, called=called)
        (scratch / messages.COLUMNS).write_bytes(pack(columns))
        write_message(scratch / messages.ORDER, Order(seconds, BATCH_ROWS, None if adapter is None else dict(adapter)))
        code = run_confined("gateway.evaluation.child", scratch, seconds=seconds)
        report = messages.read_report(scratch) if code == 0 else None
        if report is None:
            raise CannotEvaluate(explain(code, scratch, called, seconds))
        if report.refusal:
            raise CannotEvaluate(f"{called}: {report.refusal}")
        answers = messages.read_answers(scratch)
    return Asked(
        answers, report.load_ms, *_latencies(called, report), size, sha256, report.reference.encode(),
        tuple(report.notes[:MOST_NOTES]),
    )  # fmt: skip


def copy_model(model: Path, to: Path, *, called: str) -> tuple[str, int]:
    """Copy the model file to *to*; return the SHA-256 and the size of what was copied. Raises CannotEvaluate."""
    digest = hashlib.sha256()
    try:
        with (
            open_regular(model, max_bytes=MAX_MODEL_BYTES) as (descriptor, _),
            os.fdopen(os.dup(descriptor), "rb") as file,
            to.open("xb") as copy,
        ):
            while part := file.read(1 << 20):
                digest.update(part)
                copy.write(part)
    except InvalidModel as exc:
        raise CannotEvaluate(f"{called} cannot be read: {exc.reason}") from exc
    except OSError as exc:
        raise CannotEvaluate(f"{called} cannot be copied to {to.parent}: {exc.strerror or exc}") from exc
    return digest.hexdigest(), to.stat().st_size


def _latencies(called: str, report: Report) -> tuple[Latency, Latency]:
    return _latency(called, report.row), _latency(called, report.batch)


def _latency(called: str, times: Times) -> Latency:
    if not times.milliseconds or times.rows < 1:
        raise CannotEvaluate(f"the process that asked {called} left a report without run times; run it again")
    p50, p99 = np.quantile(times.milliseconds, (0.5, 0.99))
    return Latency(times.rows, len(times.milliseconds), float(p50), float(p99))


def explain(code: int | None, scratch: Path, called: str, seconds: int) -> str:
    """Return in words how a process ended that left no report."""
    if code is None:
        return f"{called} took longer than {seconds} s for the rows and was ended; give it more with --timeout"
    if was_killed(code):
        return f"the process that asked {called} was killed: it wanted more memory or processor time than it may have"
    return f"{called} crashed the process that asked it (exit code {code}); do not serve it: {last_words(scratch)}"
