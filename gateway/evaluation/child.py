"""The confined process: load one version, ask it every row, time it, leave a report, end.

Run by ``asking.py`` as ``python -m gateway.evaluation.child DIRECTORY``.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.convert.confinement import confine
from gateway.convert.errors import CannotConvert
from gateway.convert.messages import write_message
from gateway.convert.trial import feeds
from gateway.core.errors import InvalidModel, ModelFailed
from gateway.core.signature import FREE
from gateway.engine.onnx import OnnxEngine
from gateway.engine.vocabulary import vocabularies_in
from gateway.evaluation import messages
from gateway.evaluation.messages import Report, Times
from gateway.evaluation.reference import reference_of
from gateway.evaluation.tensors import pack, unpack
from gateway.models.adapting import adapted
from gateway.models.metadata import Metadata
from gateway.models.vocabularies import by_place

import numpy as np  # isort: skip - after gateway.convert, which sets what its libraries read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from gateway.core.signature import Signature
    from gateway.evaluation.messages import Order
    from gateway.ports.engine import Session

    Array = NDArray[Any]

ROWS_AT_ONCE: Final = 1024
TIMED_RUNS: Final = 1000
"""Enough for a 99 % quantile that ten runs exceed."""
TIMED_SECONDS: Final = 2.0
LEAST_RUNS: Final = 5
MOST_LOADS: Final = 5
LOADS_MS: Final = 1000.0


def main(scratch: Path) -> int:
    """Follow the order in *scratch*; return the exit code: 0 where a report was written."""
    order = messages.read_order(scratch)
    confine(scratch, seconds=order.seconds)
    try:
        report = _ask(scratch, order)
    except InvalidModel as exc:
        report = Report(refusal=f"it cannot be loaded ({exc.code}): {exc.reason}")
    except ModelFailed as exc:
        report = Report(refusal=f"it cannot answer the rows: {exc.reason}")
    except CannotConvert as exc:
        report = Report(refusal=str(exc))
    write_message(scratch / messages.REPORT, report)
    return 0


def _ask(scratch: Path, order: Order) -> Report:
    """Leave the answers in *scratch* and return the report. Raises what loading, fitting and running raise."""
    columns = unpack((scratch / messages.COLUMNS).read_bytes())
    own, load_ms = _loaded(scratch / messages.GRAPH)
    session, _ = adapted(own, Metadata(adapter=order.adapter), model="evaluated", version=1)
    answers = _answers(session, columns)
    (scratch / messages.ANSWERS).write_bytes(pack(answers))
    fixed = _fixed_rows(session.signature)
    known = vocabularies_in(scratch / messages.GRAPH)
    reference = reference_of(
        session.signature, _asked(session.signature, columns), answers,
        by_place(known.vocabularies, session.signature, order.adapter),
    )  # fmt: skip
    return Report(
        load_ms=load_ms,
        row=_timed(session, columns, fixed or 1),
        batch=_timed(session, columns, fixed or order.batch_rows),
        reference=reference.encoded().decode(),
        notes=[f"the words of {name!r} are not watched for drift: {why}" for name, why in known.refused.items()],
    )


def _loaded(graph: Path) -> tuple[Session, float]:
    """Return a session, and the median of the milliseconds that a few loads took."""
    took: list[float] = []
    while len(took) < MOST_LOADS and sum(took) < LOADS_MS:
        began = time.perf_counter()
        session = OnnxEngine().load(graph, model="evaluated", version=1, threads=1)
        took.append((time.perf_counter() - began) * 1e3)
    return session, statistics.median(took)


def _answers(session: Session, columns: Mapping[str, Array]) -> dict[str, Array]:
    """Return every output over all rows, whose first axis is theirs where an output has one per row."""
    at_once = _fixed_rows(session.signature) or ROWS_AT_ONCE
    parts: list[list[Array]] = []
    for some, rows in _chunks(columns, at_once, whole=_fixed_rows(session.signature) is not None):
        outputs = [np.asarray(each) for each in session.run(feeds(session.signature, some))]
        taken = len(next(iter(some.values())))
        parts.append([each[:rows] if each.ndim and len(each) == taken else each for each in outputs])
    names = [spec.name for spec in session.signature.outputs]
    return {
        name: np.concatenate(each) if each[0].ndim else each[0]
        for name, each in zip(names, zip(*parts, strict=True), strict=True)
    }


def _asked(signature: Signature, columns: Mapping[str, Array]) -> list[Array]:
    """Return the inputs over all rows, in the order of *signature*."""
    rows = len(next(iter(columns.values())))
    size = _fixed_rows(signature) or rows
    parts = [(feeds(signature, some), new) for some, new in _chunks(columns, size, whole=True)]
    return [np.concatenate([tensors[spec.name][:new] for tensors, new in parts]) for spec in signature.inputs]


def _chunks(columns: Mapping[str, Array], size: int, *, whole: bool) -> Iterator[tuple[dict[str, Array], int]]:
    """Yield the columns in parts of *size* rows, and how many rows are new; a *whole* last part repeats one."""
    rows = len(next(iter(columns.values())))
    for start in range(0, rows, size):
        stop = min(start + size, rows)
        picked = np.minimum(np.arange(start, start + size), rows - 1) if whole else np.arange(start, stop)
        yield {name: column[picked] for name, column in columns.items()}, stop - start


def _fixed_rows(signature: Signature) -> int | None:
    """Return how many rows every run has to have, None where the caller chooses."""
    first = signature.inputs[0].shape if signature.inputs else ()
    return first[0] if first and first[0] != FREE else None


def _timed(session: Session, columns: Mapping[str, Array], rows: int) -> Times:
    """Return how long runs of *rows* rows took, each on other rows, within TIMED_SECONDS."""
    total = len(next(iter(columns.values())))
    every = np.arange(rows)
    prepared = [
        feeds(session.signature, {name: column[(start + every) % total] for name, column in columns.items()})
        for start in range(0, min(total, 64 * rows), rows)
    ]
    took: list[float] = []
    deadline = time.perf_counter() + TIMED_SECONDS
    while len(took) < TIMED_RUNS and (len(took) < LEAST_RUNS or time.perf_counter() < deadline):
        given = prepared[len(took) % len(prepared)]
        began = time.perf_counter()
        session.run(given)
        took.append((time.perf_counter() - began) * 1e3)
    return Times(rows, took)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
