"""A version whose graph takes a fixed number of rows, for callers that bring any number of them.

Where ``serving.pad`` says that the fixed first axis holds rows, a run of fewer is filled up with copies of its last
row, whose answers are cut off again, and one of more is several runs. Everything above holds a session with a free
first axis: requests are joined for it as for any other, and its warm-up shows that a row's answer depends neither on
its place nor on what fills up the run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.errors import InvalidModel, ModelFailed
from gateway.core.signature import FREE, Signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.signature import TensorSpec
    from gateway.ports.engine import Session, Tensor


def padded(session: Session, *, model: str, version: int) -> PaddedSession:
    """Return *session* with a free first axis. Raises InvalidModel, code bad_metadata, where it has no fixed one."""
    return PaddedSession(session, fixed_rows(session.signature), model=model, version=version)


def fixed_rows(signature: Signature) -> int:
    """Return the rows of every run of a graph with *signature*: the size of its first axes, 2 or more.

    Outputs may leave theirs free. Raises InvalidModel, code bad_metadata, where sizes are not fixed, or differ.
    """
    sizes = {spec.shape[:1] for spec in signature.inputs}
    sizes |= {spec.shape[:1] for spec in signature.outputs if spec.shape[:1] != (FREE,)}
    first = sizes.pop() if len(sizes) == 1 else ()
    if not first or first[0] < 2:
        raise InvalidModel(
            "bad_metadata",
            "metadata.yaml: serving.pad: the first axes of all inputs and outputs must be fixed at the same number of "
            "rows, 2 or more; take it out",
        )
    return first[0]


class PaddedSession:
    """The session port over another session. Threads may run it at the same time."""

    __slots__ = ("_model", "_own", "_version", "rows", "signature", "warning")

    def __init__(self, own: Session, rows: int, *, model: str, version: int) -> None:
        """*rows*: those of each run of *own*."""
        given = own.signature
        self.signature = Signature(tuple(map(_freed, given.inputs)), tuple(map(_freed, given.outputs)))
        self.warning = own.warning
        self.rows = rows
        self._own = own
        self._model = model
        self._version = version

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the outputs of as many rows as *feeds* hold, in as few runs as that takes. Raises as the port says."""
        counts = {len(tensor) for tensor in feeds.values()}
        if len(counts) != 1 or 0 in counts:
            raise ModelFailed(self._model, self._version, "it runs one row or more, as many of each input")
        [count] = counts
        if count == self.rows:
            return self._own.run(feeds)
        parts = [
            self._part({name: tensor[start : start + self.rows] for name, tensor in feeds.items()})
            for start in range(0, count, self.rows)
        ]
        return parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _part(self, feeds: dict[str, Tensor]) -> list[Tensor]:
        """Return the outputs of at most ``rows`` rows."""
        count = len(next(iter(feeds.values())))
        outputs = self._own.run({name: _filled(tensor, self.rows) for name, tensor in feeds.items()})
        if any(output.shape[:1] != (self.rows,) for output in outputs):
            raise ModelFailed(self._model, self._version, f"it answered a run of {self.rows} rows with another number")
        return [output[:count] for output in outputs]

    def stop(self) -> None:
        self._own.stop()

    def pool_seconds(self) -> float:
        return self._own.pool_seconds()


def _freed(spec: TensorSpec) -> TensorSpec:
    """Return *spec* with a free first axis, of the name that it has."""
    return replace(spec, shape=(FREE, *spec.shape[1:]))


def _filled(tensor: Tensor, rows: int) -> Tensor:
    """Return *tensor* with copies of its last row behind it, *rows* in all; itself where it has so many."""
    count = len(tensor)
    if count == rows:
        return tensor
    filled = np.empty((rows, *tensor.shape[1:]), tensor.dtype)
    filled[:count] = tensor
    filled[count:] = tensor[-1]
    return filled
