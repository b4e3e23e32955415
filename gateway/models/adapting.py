"""A version behind its adapter: a session that takes what callers know, and answers as they expect.

The plan is compiled once, when the version is loaded, into operations on whole arrays; only categories of text are
looked up one by one. Everything above holds a session with the callers' signature and does not know of it, and a
version without an adapter has no other session than its own.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.bfloat16 import narrowed, widened
from gateway.core.adaptation import INTEGERS, Path, adapt
from gateway.core.adapter import InvalidAdapter
from gateway.core.compatibility import WIDENS_TO
from gateway.core.errors import InputRefused, InvalidModel, ModelFailed
from gateway.core.signature import FLOATS, FREE
from gateway.models.adapter_document import read_adapter
from gateway.models.metadata import WarmUpInput
from gateway.models.padding import padded
from gateway.models.warmup import NUMPY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.core.adaptation import Adaptation
    from gateway.core.adapter import Columns, Constant, Scalar
    from gateway.models.metadata import Metadata, Serving
    from gateway.ports.engine import Session, Tensor

    Operation = Callable[[Tensor], Tensor]


class _Unfit(Exception):
    """A value cannot be what it has to become."""


def adapted(session: Session, metadata: Metadata, *, model: str, version: int) -> tuple[Session, Serving]:
    """Return the session that callers see, and how it wants to be served.

    Without an adapter in *metadata* both are as they were given, but for ``serving.pad``, whose runs join no more rows
    than the graph takes. With one, the warm-up gets values that the adapter lets through where the metadata names none.
    Raises InvalidModel, code bad_metadata, for one that does not fit.
    """
    serving = metadata.serving
    if serving.pad:
        session = filling = padded(session, model=model, version=version)
        serving = replace(serving, max_batch_rows=min(serving.max_batch_rows, filling.rows))
    if metadata.adapter is None:
        return session, serving
    try:
        plan = adapt(read_adapter(metadata.adapter), session.signature)
    except InvalidAdapter as exc:
        raise InvalidModel("bad_metadata", f"metadata.yaml: {exc}") from exc
    wishes = {name: WarmUpInput(values=values) for name, values in _harmless(plan).items()}
    for name, wish in serving.warm_up.items():
        derived = wishes.get(name, wish)
        wishes[name] = WarmUpInput(wish.shape, wish.values or derived.values)
    return AdaptedSession(session, plan, model=model, version=version), replace(serving, warm_up=wishes)


class AdaptedSession:
    """The session port over another session."""

    __slots__ = ("_inputs", "_model", "_outputs", "_own", "_rows_of", "_version", "signature", "warning")

    def __init__(self, own: Session, plan: Adaptation, *, model: str, version: int) -> None:
        self.signature = plan.presented
        self.warning = own.warning
        self._own = own
        self._model = model
        self._version = version
        self._rows_of = plan.presented.inputs[0].name
        self._inputs = tuple(
            (spec.name, way.source.name, _compiled(way), None) if isinstance(way, Path) else
            (spec.name, "", (), _Fill(way))
            for spec, way in zip(own.signature.inputs, plan.requests, strict=True)
        )  # fmt: skip
        places = {spec.name: place for place, spec in enumerate(own.signature.outputs)}
        self._outputs = tuple(
            (way.target.name, places[way.source.name], _compiled(way), None) if isinstance(way, Path) else
            (way.spec.name, 0, (), _Fill(way))
            for way in plan.responses
        )  # fmt: skip

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the outputs that callers see. Raises what the version's own session raises, InputRefused for what it
        cannot be asked, and ModelFailed for an answer that callers cannot be given."""
        first = feeds[self._rows_of]
        rows = len(first) if first.ndim else 1
        outputs = self._own.run(self._asked(feeds, rows))
        answered = []
        for name, place, operations, fill in self._outputs:
            try:
                answered.append(_through(operations, outputs[place]) if fill is None else fill.rows(rows))
            except _Unfit as exc:
                raise self._failed(ModelFailed, "output", name, exc) from None
        return answered

    def stop(self) -> None:
        """As the version's own session."""
        self._own.stop()

    def pool_seconds(self) -> float:
        """As the version's own session."""
        return self._own.pool_seconds()

    def _asked(self, feeds: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
        """Return what the version's own session is asked. Raises InputRefused."""
        asked = {}
        for name, callers, operations, fill in self._inputs:
            try:
                asked[name] = _through(operations, feeds[callers]) if fill is None else fill.rows(rows)
            except _Unfit as exc:
                raise self._failed(InputRefused, "input", callers, exc) from None
        return asked

    def _failed(self, kind: type[ModelFailed], role: str, name: str, why: _Unfit) -> ModelFailed:
        return kind(self._model, self._version, f"its adapter cannot pass the {role} {name!r} on: {why}")


class _Fill:
    """Makes a constant as long as a run."""

    __slots__ = ("_first", "_row")

    def __init__(self, constant: Constant) -> None:
        tail = constant.spec.shape[1:]
        values: Tensor = np.array(constant.values, dtype=NUMPY[constant.spec.datatype])
        self._row = np.broadcast_to(values, (math.prod(tail),)).reshape(tail)
        self._first = constant.spec.shape[:1]

    def rows(self, count: int) -> Tensor:
        first = (count,) if self._first == (FREE,) else self._first
        return np.array(np.broadcast_to(self._row, (*first, *self._row.shape)))


def _through(operations: tuple[Operation, ...], value: Tensor) -> Tensor:
    for operation in operations:
        value = operation(value)
    return value


def _compiled(way: Path) -> tuple[Operation, ...]:
    """Return the steps of *way* as operations on whole arrays; none where nothing changes."""
    found: list[Operation] = []
    if way.default is not None:
        found.append(_default(way.source.datatype, way.default))
    if way.categories is not None:
        found.append(_categories(way.source.datatype, way.target.datatype, way.categories))
    elif way.source.datatype != way.target.datatype:
        found.append(_cast(way.source.datatype, way.target.datatype))
    if way.before is not None:
        found.append(_reshape(way.before))
    if way.columns is not None:
        found.append(_columns(way.columns))
    if way.after is not None:
        found.append(_reshape(way.after))
    return tuple(found)


def _default(datatype: str, value: Scalar) -> Operation:
    if datatype == "BYTES":
        return lambda given: np.where(given == "", np.array(value, dtype=object), given)
    number: Tensor = np.array(value, dtype=NUMPY[datatype])
    return lambda given: np.where(np.isnan(given), number, given)


def _categories(source: str, target: str, named: Mapping[Scalar, Scalar]) -> Operation:
    """Return the operation that looks categories up: texts one by one, integers in a sorted table."""
    if source == "BYTES":
        return _texts(target, named)
    keys: Tensor = np.array(sorted(named), dtype=NUMPY[source])
    values: Tensor = np.array([named[key] for key in sorted(named)], dtype=NUMPY[target])

    def look_up(given: Tensor) -> Tensor:
        places = keys.searchsorted(given)
        if (keys.take(places, mode="clip") != given).any():
            raise _Unfit("it holds a category that `map` does not name")
        return values[places]

    return look_up


def _texts(target: str, named: Mapping[Scalar, Scalar]) -> Operation:
    look_up: Callable[[str], Scalar] = dict(named).__getitem__

    def each(given: Tensor) -> Tensor:
        try:
            found = [look_up(text) for text in given.ravel().tolist()]
        except KeyError:
            raise _Unfit("it holds a category that `map` does not name") from None
        return np.array(found, dtype=NUMPY[target]).reshape(given.shape)

    return each


def _cast(source: str, target: str) -> Operation:
    """Return a change of datatype. Floats are rounded to the nearest; no number becomes another one in silence."""
    dtype = NUMPY[target]
    if target in WIDENS_TO.get(source, ()) or (source in INTEGERS and target in ("FP32", "FP64")):
        return lambda given: given.astype(dtype)
    if target == "BF16":
        return _as_bfloat16
    if target in FLOATS:
        return lambda given: _rounded(given, dtype)
    least, most = INTEGERS.get(target, (0, 1))
    if source in FLOATS:
        return _whole(target, np.float64(least), np.float64(most + 1))

    def narrow(given: Tensor) -> Tensor:
        if not ((given >= least) & (given <= most)).all():
            raise _Unfit(f"it holds a number that is no {target}")
        return given.astype(dtype)

    return narrow


def _whole(target: str, least: np.float64, end: np.float64) -> Operation:
    """Return the cast of floats that are whole numbers from *least* to below *end*, powers of two and so exact."""

    def cast(given: Tensor) -> Tensor:
        if not ((given >= least) & (given < end) & (given == np.trunc(given))).all():  # NaN is in no range
            raise _Unfit(f"it holds a number that is no {target}")
        return given.astype(NUMPY[target])

    return cast


def _rounded(given: Tensor, dtype: Any) -> Tensor:
    try:
        with np.errstate(over="raise"):
            return given.astype(dtype)
    except FloatingPointError:
        raise _Unfit("it holds a number that is too large") from None


def _as_bfloat16(given: Tensor) -> Tensor:
    single = _rounded(given, np.float32)
    found = widened(narrowed(single))
    if (np.isinf(found) & ~np.isinf(single)).any():
        raise _Unfit("it holds a number that is too large")
    return found


def _reshape(shape: tuple[int, ...]) -> Operation:
    return lambda given: given.reshape((len(given), *shape[1:]))


def _columns(columns: Columns) -> Operation:
    picked = np.array(columns.picked)

    def take(given: Tensor) -> Tensor:
        if given.shape[-1] != columns.of:
            raise _Unfit(f"it has {given.shape[-1]} columns, and {columns.of} are declared")
        return given.take(picked, axis=-1, mode="clip")  # all are there; "raise" would copy once more

    return take


def _harmless(plan: Adaptation) -> dict[str, tuple[Scalar, Scalar]]:
    """Return two values for each input that made-up ones would not get through: categories, and floats made whole."""
    found: dict[str, tuple[Scalar, Scalar]] = {}
    for way in plan.requests:
        if not isinstance(way, Path):
            continue
        if way.categories is not None:
            found[way.source.name] = next(iter(way.categories)), list(way.categories)[-1]
        elif way.source.datatype in FLOATS and way.target.datatype not in FLOATS:
            found[way.source.name] = 1, 0
    return found
