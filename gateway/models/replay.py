"""Asks a loaded version its golden requests, and says in words where an answer is not the one that was recorded.

Blocks, and runs the engine; called on a thread beside the loop. A request is run by itself, as a caller's would be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.core.errors import InvalidModel, ModelFailed
from gateway.models.golden import GoldenTensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.signature import TensorSpec
    from gateway.models.golden import GoldenRequest
    from gateway.ports.engine import Session, Tensor


def replay(session: Session, requests: Sequence[GoldenRequest], *, tolerance: float | None = None) -> str:
    """Return the first answer of *session* that differs, in words, and how many more do; empty where none does.

    *tolerance*, where given, stands in place of what each request says. Raises RunStopped after ``session.stop``.
    """
    found = [said for said in (_difference(session, each, tolerance) for each in requests) if said]
    more = f"; so do {len(found) - 1} more of {len(requests)}" if len(found) > 1 else ""
    return f"{found[0]}{more}" if found else ""


def record(session: Session, requests: Sequence[GoldenRequest], *, tolerance: float) -> Sequence[GoldenRequest]:
    """Return *requests* with what *session* answers to them now, to hold within *tolerance*.

    Raises InvalidModel, code golden, for a request that it cannot answer.
    """
    recorded = []
    for each in requests:
        try:
            outputs = answer(session, each)
        except (ModelFailed, Unfit) as exc:
            raise InvalidModel("golden", f"{each} {refused(exc)}; leave it out") from exc
        kept = {spec.name: GoldenTensor(spec.datatype, _finite(value)) for spec, value in outputs}
        recorded.append(replace(each, outputs=kept, tolerance=tolerance))
    return recorded


class Unfit(Exception):
    """A request does not have the inputs that the version takes."""


def _difference(session: Session, request: GoldenRequest, tolerance: float | None) -> str:
    try:
        outputs = {spec.name: GoldenTensor(spec.datatype, np.asarray(each)) for spec, each in answer(session, request)}
    except (ModelFailed, Unfit) as exc:
        return f"{request} {refused(exc)}"
    allowed = request.tolerance if tolerance is None else tolerance
    for name, expected in request.outputs.items():
        if name not in outputs:
            return f"{request}: there is no output {name!r} any more"
        said = compare(expected, outputs[name], allowed)
        if said:
            return f"{request}: output {name!r} {said}"
    return ""


def answer(session: Session, request: GoldenRequest) -> list[tuple[TensorSpec, Tensor]]:
    """Return each output with its spec. Raises ModelFailed, or Unfit where the inputs are not the version's."""
    feeds: dict[str, Tensor] = {}
    for spec in session.signature.inputs:
        given = request.inputs.get(spec.name)
        if given is None or given.datatype != spec.datatype or not spec.fits(given.values.shape):
            has = "no such input" if given is None else f"{given.datatype} {list(given.values.shape)}"
            raise Unfit(f"input {spec.name!r} is {spec.datatype} {list(spec.shape)}, and it has {has}")
        feeds[spec.name] = given.values
    return list(zip(session.signature.outputs, session.run(feeds), strict=True))


def refused(exc: Exception) -> str:
    """Return why a request got no answer, to go on after its name."""
    return f"cannot be asked: {exc}" if isinstance(exc, Unfit) else f"fails: {getattr(exc, 'reason', exc)}"


def compare(expected: GoldenTensor, came: GoldenTensor, allowed: float) -> str:
    """Return how what *came* differs from what was *expected*; empty where it does not.

    *allowed*: how far numbers may differ, relative above 1.
    """
    value = came.values
    if came.datatype != expected.datatype or value.shape != expected.values.shape:
        was = f"{expected.datatype} {list(expected.values.shape)}"
        return f"is {came.datatype} {list(value.shape)}, and {was} was recorded"
    if value.dtype.kind != "f":
        return _first_other(expected.values, value)
    distances = distances_of(expected.values, value)
    if not distances.size or float(distances.max()) <= allowed:
        return ""
    where = np.unravel_index(int(distances.argmax()), distances.shape)
    by = f"differs by {float(distances[where]):.3g} at {_at(where)}, {allowed:g} is allowed"
    return f"{by}: {float(expected.values[where]):.6g} was recorded, {float(value[where]):.6g} came"


def _first_other(expected: Tensor, value: Tensor) -> str:
    others = np.argwhere(np.asarray(expected != value))
    if not len(others):
        return ""
    where = tuple(others[0])
    return f"differs at {_at(where)}: {str(expected[where])[:64]!r} was recorded, {str(value[where])[:64]!r} came"


def distances_of(expected: Tensor, value: Tensor) -> Any:
    """Return how far apart two tensors of floats are, relative above 1; infinite where one alone is not finite."""
    one, other = _finite(expected).astype(np.float64), _finite(value).astype(np.float64)
    distances = np.abs(one - other) / np.maximum(1.0, np.abs(one))
    distances[np.isnan(one) & np.isnan(other)] = 0.0
    return np.nan_to_num(distances, nan=np.inf)


def _finite(value: Tensor) -> Tensor:
    """Return *value* with nan for infinities, which JSON has not: null stands for both."""
    if value.dtype.kind != "f":
        return value
    finite: Tensor = np.where(np.isfinite(value), value, np.nan).astype(value.dtype)
    return finite


def _at(where: Sequence[Any]) -> list[int]:
    return [int(each) for each in where]
