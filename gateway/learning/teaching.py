"""Labelled answers are tested on, then learned: each once, whatever is read twice.

Pure but for the pipeline, which learns in place; nothing is written here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.core.learning import ChangeDetector, Comparison, chained, gain_of_class, gain_of_number, is_held_out
from gateway.learning import centres, estimators
from gateway.learning.estimators import CLUSTERING
from gateway.learning.publishing import SAMPLE_ROWS
from gateway.learning.rows import NotLearned, Rows, joined, none_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.core.labelled import Labelled
    from gateway.learning.centres import Served
    from gateway.learning.document import LearnerDocument
    from gateway.learning.rows import Columns
    from gateway.learning.state import State


def place(entry: str) -> tuple[int, int]:
    """Return an entry of the stream as what its order is: ``1700000000000-3``; the empty one is before all."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds or 0), int(number or 0)


def absorb(
    state: State, answers: Sequence[Labelled], document: LearnerDocument, columns: Columns, served: Served | None = None
) -> int:
    """Test and teach the pipeline of *state* with *answers*, in their order; return how many were new.

    *served*: among clusters, how far rows lie from the centres of the version that serves. Those up to ``learned_to``
    are in the state already. Raises Diverged, when the state counts the answers.
    """
    head = state.head
    new = [each for each in answers if place(each.entry) > place(head.learned_to)]
    if not new:
        return 0
    learned, held = _rows(state, new, document, columns)
    if served is not None:
        learned, held = (
            Rows(each.inputs, each.said, served(head.serving, each.inputs)) for each in (learned, held)
        )  # fmt: skip
    head.learned_to = max((each.entry for each in new), key=place)
    head.answers += len(new)
    head.labels_since += len(learned) + len(held)
    head.rows += len(learned)
    head.held_out += len(held)
    state.held = joined([state.held, held]).last(document.hold_out.rows)
    if len(learned):
        _test(state, learned, document)
        _teach(state, learned, document)
    return len(new)


def typed(said: Any, document: LearnerDocument) -> Any:
    """Return classes as the estimator is to know them, whole numbers or texts; numbers as they are."""
    if not document.classes:
        return said
    known = {str(each): each for each in document.classes}
    return np.array([known[each] for each in said.tolist()])


def compared(state: State, rows: Rows, document: LearnerDocument) -> list[tuple[float, float]]:
    """Return the gains of the pipeline and of the serving version, of those of *rows* that both predicted.

    Raises Diverged.
    """
    known = _is_known(rows)
    if not known.any() or not estimators.is_fitted(state.pipeline):
        return []
    rows = Rows(rows.inputs[known], rows.said[known], rows.served[known])
    ask = centres.nearest if document.task == CLUSTERING else estimators.predict
    predicted = ask(state.pipeline, rows.inputs)
    return list(zip(_gains(rows.said, predicted, document), _gains(rows.said, rows.served, document), strict=True))


def _rows(state: State, answers: Sequence[Labelled], document: LearnerDocument, columns: Columns) -> tuple[Rows, Rows]:
    """Return the rows to learn, and those to hold out; answers that teach nothing are counted by their reason."""
    nothing = none_of(columns, is_text=bool(document.classes))
    learned, held = [nothing], [nothing]
    for answer in answers:
        try:
            rows = rows_of(answer, columns, document)
        except NotLearned as exc:
            state.head.not_learned[exc.reason] = state.head.not_learned.get(exc.reason, 0) + 1
            continue
        if answer.version != state.head.serving:
            rows = Rows(rows.inputs, rows.said, _unknown(rows.served))
        (held if is_held_out(answer.id, document.hold_out.share) else learned).append(rows)
    return joined(learned), joined(held)


def _unknown(served: Any) -> Any:
    """Return as many predictions that are none: another version's say nothing of the serving one."""
    return np.full(len(served), "" if served.dtype.kind == "U" else math.nan, served.dtype)


def _is_known(rows: Rows) -> Any:
    return rows.served != "" if rows.served.dtype.kind == "U" else ~np.isnan(rows.served)


def _gains(said: Any, predicted: Any, document: LearnerDocument) -> Iterator[float]:
    for right, found in zip(said.tolist(), predicted.tolist(), strict=True):
        if document.classes:
            yield gain_of_class(right, str(found))
        else:
            yield gain_of_number(right, found, document.error_scale)


def _test(state: State, rows: Rows, document: LearnerDocument) -> None:
    """Compare on rows that were not learned yet, and watch the serving version's own losses for a change."""
    head = state.head
    known = _is_known(rows)
    losses = [1.0 - gain for gain in _gains(rows.said[known], rows.served[known], document)]
    head.detector = head.detector.after(losses)
    if head.digested >= document.warm_up:
        head.comparison = head.comparison.with_rows(compared(state, rows, document))
    if head.detector.is_alarmed:
        head.detector, head.comparison = ChangeDetector(), Comparison()
        head.changes += 1
        head.is_alarmed = True


def _teach(state: State, rows: Rows, document: LearnerDocument) -> None:
    head = state.head
    kept = document.window if document.strategy == "batch" else SAMPLE_ROWS
    state.window = joined([state.window, rows]).last(kept)
    head.digest = chained(head.digest, rows.inputs.tobytes() + "\x1f".join(map(str, rows.said.tolist())).encode())
    head.digested += len(rows)
    if document.strategy == "batch":
        return
    if document.task == CLUSTERING:
        centres.learn(state.pipeline, rows.inputs)
    else:
        estimators.learn(state.pipeline, rows.inputs, typed(rows.said, document), document.classes)
