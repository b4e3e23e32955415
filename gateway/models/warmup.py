"""What a version must do before it gets traffic: run, give numbers, and show whether rows may share a run.

The first run of a session is up to thirteen times slower than the next, so it is never a
caller's. A batch is only formed for a version that was seen to treat its rows one by one: a
model that normalises over the batch would answer each caller with a bit of the others.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.core.errors import InvalidModel, ModelFailed
from gateway.core.signature import FLOATS, FREE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.signature import Signature, TensorSpec
    from gateway.models.metadata import Serving, WarmUpInput
    from gateway.ports.engine import Session, Tensor

TIMED_RUNS: Final = 5
TIMING_BUDGET_SECONDS: Final = 2.0
"""A model that takes seconds is not timed five times."""

MAX_INPUT_BYTES: Final = 256 * 1024**2

RELATIVE_TOLERANCE: Final = 1e-5
COARSE_TOLERANCE: Final = {"FP16": 2e-3, "BF16": 1.6e-2}
"""For FP16, which has 11 bits, and BF16, which has 8."""

NUMPY: Final = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "BF16": np.float32, "FP32": np.float32, "FP64": np.float64, "BYTES": np.object_,
}  # fmt: skip
"""Datatype of the protocol → numpy's, which holds BF16 as float32."""

_INTEGER_ROWS: Final = ((1, 0), (0, 1))
"""What integers are tried: 0 is no divisor, 1 is no index into a table of one row."""

_TEXTS: Final = ("warm up", "warm up twice")


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What the runs showed. *run_seconds* is the median time of one row, or of the fixed batch where there is one."""

    batchable: bool
    why_not: str
    run_seconds: float
    fixed_batch: int | None = None


def warm_up(session: Session, serving: Serving) -> WarmUp:
    """Run *session* on made-up inputs and return what that showed.

    Raises InvalidModel with code warm_up where the version fails on them or answers NaN or Inf while
    *serving* says that such an answer is an error, or fails on no rows while *serving* allows them, and bad_metadata
    where ``serving.warm_up`` does not fit.
    """
    signature = session.signature
    _check_metadata(signature, serving)
    rows, alone = _first_run(session, serving)
    if serving.nonfinite == "error":
        _refuse_nonfinite(signature, alone)
    fixed_batch, why_not = _declared_axis(signature)
    why_not = why_not or _prove(session, rows, alone)
    if serving.pad and why_not:
        raise InvalidModel("warm_up", f"serving.pad: {why_not}; take it out")
    if serving.allow_empty:
        _prove_empty(session, rows)
    return WarmUp(not why_not, why_not, _median_seconds(session, rows.feeds(0)), fixed_batch)


class _Rows:
    """Two different rows for every input, or the one tensor of an input without a free batch axis."""

    def __init__(self, signature: Signature, serving: Serving, integers: tuple[int, int]) -> None:
        self._rows = [
            {spec.name: _tensor(spec, serving.warm_up.get(spec.name), row, integers[row]) for spec in signature.inputs}
            for row in (0, 1)
        ]

    def feeds(self, *rows: int) -> dict[str, Tensor]:
        """Return the inputs of a run over *rows*."""
        return {
            name: np.concatenate([self._rows[row][name] for row in rows]) if len(rows) > 1 else first
            for name, first in self._rows[rows[0]].items()
        }

    def are_different(self) -> bool:
        first, second = self._rows
        return any(not np.array_equal(first[name], second[name]) for name in first)


def _tensor(spec: TensorSpec, wish: WarmUpInput | None, row: int, integer: int) -> Tensor:
    """Return one row of an input, with a batch axis of 1 where it is free."""
    shape = tuple(1 if size == FREE else size for size in spec.shape)
    if wish is not None and wish.shape is not None:
        shape = wish.shape if spec.shape[0] != FREE else (1, *wish.shape[1:])
    kind = NUMPY[spec.datatype]
    count = math.prod(shape)
    if count * np.dtype(kind).itemsize > MAX_INPUT_BYTES:
        raise InvalidModel("warm_up", f"one row of input {spec.name!r} has {count} elements, too many to warm up with")
    if wish is not None and wish.values is not None:
        return np.full(shape, wish.values[row], dtype=kind)
    if spec.datatype == "BYTES":
        return np.full(shape, _TEXTS[row], dtype=kind)
    if spec.datatype in FLOATS:
        # In (0, 1), where logarithms, roots and arc sines are defined.
        return (0.1 + 0.05 * row + (np.arange(count) * (1 + 2 * row) + 2 * row) % 7 / 10).astype(kind).reshape(shape)
    return np.full(shape, integer, dtype=kind)


def _check_metadata(signature: Signature, serving: Serving) -> None:
    """Raise InvalidModel where ``serving.warm_up`` contradicts the signature."""
    specs = {spec.name: spec for spec in signature.inputs}
    for name, wish in serving.warm_up.items():
        at = f"metadata.yaml: serving.warm_up.{name}"
        spec = specs.get(name)
        if spec is None:
            raise InvalidModel("bad_metadata", f"{at}: the model has no such input; it has {', '.join(specs)}")
        fits = wish.shape is None or (
            len(wish.shape) == len(spec.shape)
            and all(want in (FREE, have) for want, have in zip(spec.shape, wish.shape, strict=True))
        )
        if not fits:
            raise InvalidModel("bad_metadata", f"{at}.shape: must fit {list(spec.shape)}, where -1 is free")
        for value in wish.values or ():
            if isinstance(value, str) != (spec.datatype == "BYTES"):
                raise InvalidModel("bad_metadata", f"{at}.values: must be of datatype {spec.datatype}")


def _first_run(session: Session, serving: Serving) -> tuple[_Rows, list[Tensor]]:
    """Return the rows that the version accepts, and what it answers to the first, after two runs."""
    for integers in _INTEGER_ROWS:
        rows = _rows(session.signature, serving, integers)
        try:
            session.run(rows.feeds(0))
            return rows, session.run(rows.feeds(0))
        except ModelFailed:
            continue
    raise InvalidModel(
        "warm_up",
        "the model fails on inputs made up from its signature; name a shape and two values that it accepts "
        "under serving.warm_up in metadata.yaml",
    )


def _rows(signature: Signature, serving: Serving, integers: tuple[int, int]) -> _Rows:
    try:
        return _Rows(signature, serving, integers)
    except (OverflowError, ValueError, TypeError) as exc:
        raise InvalidModel("bad_metadata", f"metadata.yaml: serving.warm_up: {exc}") from exc


def _refuse_nonfinite(signature: Signature, outputs: Sequence[Tensor]) -> None:
    for spec, output in zip(signature.outputs, outputs, strict=True):
        if spec.datatype in FLOATS and not np.isfinite(output).all():
            raise InvalidModel(
                "warm_up",
                f"output {spec.name!r} held NaN or Inf on harmless inputs; "
                f"if that is meant, set serving.nonfinite: null, or binary, in metadata.yaml",
            )


def _declared_axis(signature: Signature) -> tuple[int | None, str]:
    """Return the fixed size of the batch axis, if it is one, and why the signature rules batches out, or ""."""
    if not signature.inputs:
        return None, "it has no inputs"
    for spec in signature.inputs:
        if not spec.shape:
            return None, f"input {spec.name!r} is a scalar"
    for role, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            if spec.shape and spec.shape[0] != FREE:
                return spec.shape[0], f"the batch axis of {role} {spec.name!r} is fixed at {spec.shape[0]}"
    return None, ""


def _prove(session: Session, rows: _Rows, alone: Sequence[Tensor]) -> str:
    """Return "" if two different rows in one run get what each gets alone, else what happened instead."""
    if not rows.are_different():
        return "the two rows of serving.warm_up are the same, which proves nothing"
    try:
        second = session.run(rows.feeds(1))
        both = session.run(rows.feeds(0, 1))
    except ModelFailed:
        return "it fails on a run of two rows"
    for spec, *answers in zip(session.signature.outputs, alone, second, both, strict=True):
        if any(answer.shape[:1] != (count,) for answer, count in zip(answers, (1, 1, 2), strict=True)):
            return f"output {spec.name!r} has not one row per input row"
        one, two, pair = answers
        if not (_is_same(one[0], pair[0], spec.datatype) and _is_same(two[0], pair[1], spec.datatype)):
            return f"output {spec.name!r} of a row depends on the other rows of the run"
    return ""


def _prove_empty(session: Session, rows: _Rows) -> None:
    """Raise InvalidModel unless a run of no rows answers with none."""
    for spec in session.signature.inputs:
        if spec.shape[:1] != (FREE,):
            raise InvalidModel(
                "warm_up", f"serving.allow_empty: the first axis of input {spec.name!r} is not free; take it out"
            )
    try:
        outputs = session.run({name: tensor[:0] for name, tensor in rows.feeds(0).items()})
    except ModelFailed:
        raise InvalidModel("warm_up", "serving.allow_empty: the model fails on a run of no rows; take it out") from None
    for spec, output in zip(session.signature.outputs, outputs, strict=True):
        if output.shape[:1] != (0,):
            raise InvalidModel(
                "warm_up",
                f"serving.allow_empty: output {spec.name!r} of a run of no rows has shape {list(output.shape)}; "
                "take it out",
            )


def _is_same(alone: Any, batched: Any, datatype: str) -> bool:
    """Say whether two answers of *datatype* agree: to rounding for floats, exactly otherwise."""
    alone, batched = np.asarray(alone), np.asarray(batched)
    if alone.shape != batched.shape:
        return False
    if alone.dtype.kind != "f":
        return bool(np.array_equal(alone, batched))
    relative = COARSE_TOLERANCE.get(datatype, RELATIVE_TOLERANCE)
    finite = alone[np.isfinite(alone)]
    absolute = 0.1 * relative * float(np.abs(finite).max()) if finite.size else 0.0
    return bool(np.allclose(batched.astype(np.float64), alone.astype(np.float64), relative, absolute, equal_nan=True))


def _median_seconds(session: Session, feeds: dict[str, Tensor]) -> float:
    """Return the median time of a run."""
    taken: list[float] = []
    while len(taken) < TIMED_RUNS and sum(taken) < TIMING_BUDGET_SECONDS:
        start = time.perf_counter()
        try:
            session.run(feeds)
        except ModelFailed:
            raise InvalidModel("warm_up", "the model fails on an input that it took a moment before") from None
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
