"""What an adapter makes of a version's signature: the interface that callers see, and the way of each tensor.

Pure: signature in, plan out. Whether a declaration fits its version is decided here, once, before anything runs;
``models.adapting`` turns the plan into array operations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.core.adapter import Constant, InvalidAdapter
from gateway.core.signature import FLOATS, FREE, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from gateway.core.adapter import Adapter, Columns, Scalar, Steps

ValueT = TypeVar("ValueT")

INTEGERS: Final = {
    "UINT8": (0, 2**8 - 1), "UINT16": (0, 2**16 - 1), "UINT32": (0, 2**32 - 1), "UINT64": (0, 2**64 - 1),
    "INT8": (-(2**7), 2**7 - 1), "INT16": (-(2**15), 2**15 - 1), "INT32": (-(2**31), 2**31 - 1),
    "INT64": (-(2**63), 2**63 - 1),
}  # fmt: skip
"""Integer datatype → its least and its greatest value."""

LABEL: Final = "label"
PROBABILITIES: Final = "probabilities"
"""The outputs of a version that its ``classes`` are about."""


@dataclass(frozen=True, slots=True)
class Path:
    """How one tensor gets from *source*, as it arrives, to *target*; the steps are taken in the order of the fields.

    Between *categories* and *before* it takes the datatype of *target*. *before* and *after* are shapes.
    """

    source: TensorSpec
    target: TensorSpec
    default: Scalar | None = None
    categories: Mapping[Scalar, Scalar] | None = None
    before: tuple[int, ...] | None = None
    columns: Columns | None = None
    after: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What callers see, and the way there: a path or a constant for each of the version's own inputs, in its order,
    and for each output that callers see."""

    presented: Signature
    requests: tuple[Path | Constant, ...]
    responses: tuple[Path | Constant, ...]


def adapt(adapter: Adapter, own: Signature) -> Adaptation:
    """Return what *adapter* makes of a version whose *own* interface is this. Raises InvalidAdapter, with the place."""
    requests = _requests(adapter, own.inputs)
    responses = _responses(adapter, own.outputs)
    inputs = (*(each.source for each in requests if isinstance(each, Path)), *adapter.ignored)
    if len(inputs) == len(adapter.ignored):
        raise InvalidAdapter("requests", "callers must send at least one input that the version takes")
    if not responses:
        raise InvalidAdapter("responses.drop", "callers must see at least one output")
    outputs = tuple(each.target if isinstance(each, Path) else each.spec for each in responses)
    _refuse_twins("requests", inputs)
    _refuse_twins("responses", outputs)
    return Adaptation(Signature(inputs, outputs), requests, responses)


def presented_classes(adapter: Adapter, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes as callers see them, of a version whose own are *classes*, in the order of the columns of its
    ``probabilities``. Raises InvalidAdapter where the two contradict each other."""
    steps, found = adapter.responses, tuple(classes)
    categories = _step(steps.map, steps, LABEL)
    if categories is not None and found:
        missing = [each for each in found if each not in categories]
        if missing:
            raise InvalidAdapter(f"responses.map.{LABEL}", f"does not say what becomes of the class {missing[0]!r}")
        found = tuple(str(categories[each]) for each in found)
    columns = _step(steps.columns, steps, PROBABILITIES)
    if columns is not None and found:
        if columns.of != len(found):
            raise InvalidAdapter(
                f"responses.select.{PROBABILITIES}", f"is of {columns.of} columns, and there are {len(found)} classes"
            )
        found = tuple(found[each] for each in columns.picked)
    return found


def _step(step: Mapping[str, ValueT], steps: Steps, own: str) -> ValueT | None:
    """Return what *step* says of the tensor that the version calls *own*."""
    return next((value for name, value in step.items() if steps.own_name(name) == own), None)


def _requests(adapter: Adapter, own: Sequence[TensorSpec]) -> tuple[Path | Constant, ...]:
    names = _callers_names("requests", adapter.requests, own, adapter.filled, "constant")
    return tuple(
        _constant(f"requests.constant.{spec.name}", spec, adapter.filled[spec.name])
        if spec.name in adapter.filled
        else _request(adapter.requests, names[spec.name], spec)
        for spec in own
    )


def _responses(adapter: Adapter, own: Sequence[TensorSpec]) -> tuple[Path | Constant, ...]:
    names = _callers_names("responses", adapter.responses, own, adapter.hidden, "drop")
    paths = [_response(adapter.responses, names[spec.name], spec) for spec in own if spec.name in names]
    return (
        *paths,
        *(_constant(f"responses.constant.{each.spec.name}", each.spec, each.values) for each in adapter.added),
    )


def _callers_names(
    side: str, steps: Steps, own: Sequence[TensorSpec], apart: Collection[str], said: str
) -> dict[str, str]:
    """Return the version's name → the callers' of every tensor that both have, which *apart*, by *said*, are not."""
    there = {spec.name for spec in own}
    for name in apart:
        if name not in there:
            raise InvalidAdapter(f"{side}.{said}.{name}", f"the version has no such tensor; it has {_listed(there)}")
    names = {name: name for name in there if name not in apart}
    for callers, owns in steps.rename.items():
        if names.get(owns) != owns:
            reason = "is renamed twice" if owns in names else f"is not one of the version's: {_listed(names)}"
            raise InvalidAdapter(f"{side}.rename.{callers}", f"{owns!r} {reason}")
        names[owns] = callers
    known = set(names.values())
    for kind, step in (
        ("default", steps.default), ("map", steps.map), ("cast", steps.cast), ("reorder or select", steps.columns),
        ("reshape", steps.reshape),
    ):  # fmt: skip
        for name in step:
            if name not in known:
                raise InvalidAdapter(
                    f"{side}.{kind}.{name}", f"callers know no such tensor; they know {_listed(known)}"
                )
    return names


def _request(steps: Steps, name: str, own: TensorSpec) -> Path:
    """Return the way from what callers send to the input *own*: what they send follows from what it takes."""
    columns = steps.columns.get(name)
    wide = own.shape
    if columns is not None:
        _check_rank("requests", name, own)
        if own.shape[-1] not in (FREE, len(columns.picked)):
            raise InvalidAdapter(
                f"requests.reorder or select.{name}",
                f"leaves {len(columns.picked)} columns, and the version takes {own.shape[-1]}",
            )
        wide = (*own.shape[:-1], columns.of)
    shape = steps.reshape.get(name, wide)
    _check_sizes("requests", name, shape, wide)
    categories = steps.map.get(name)
    datatype = steps.cast.get(name, own.datatype if categories is None else "BYTES")
    source = TensorSpec(name, datatype, shape, own.axes if shape == own.shape else ())
    before = wide if name in steps.reshape else None
    return _path("requests", steps, name, source, own, before=before, columns=columns)


def _response(steps: Steps, name: str, own: TensorSpec) -> Path:
    """Return the way from the output *own* to what callers see."""
    columns = steps.columns.get(name)
    narrow = own.shape
    if columns is not None:
        _check_rank("responses", name, own)
        if own.shape[-1] not in (FREE, columns.of):
            raise InvalidAdapter(
                f"responses.reorder or select.{name}", f"is of {columns.of} columns, and there are {own.shape[-1]}"
            )
        narrow = (*own.shape[:-1], len(columns.picked))
    shape = steps.reshape.get(name, narrow)
    _check_sizes("responses", name, narrow, shape)
    categories = steps.map.get(name)
    datatype = steps.cast.get(name, own.datatype if categories is None else _datatype_of(categories.values()))
    target = TensorSpec(name, datatype, shape, own.axes if shape == own.shape else ())
    after = shape if name in steps.reshape else None
    return _path("responses", steps, name, own, target, columns=columns, after=after)


def _path(
    side: str,
    steps: Steps,
    name: str,
    source: TensorSpec,
    target: TensorSpec,
    *,
    before: tuple[int, ...] | None = None,
    columns: Columns | None = None,
    after: tuple[int, ...] | None = None,
) -> Path:
    """Return a path whose values were found to fit the datatypes at both of its ends."""
    default = steps.default.get(name)
    if default is not None:
        if source.datatype != "BYTES" and source.datatype not in FLOATS:
            raise InvalidAdapter(f"{side}.default.{name}", f"{source.datatype} has no missing values; take it out")
        _check_values(f"{side}.default.{name}", (default,), source.datatype)
    given = steps.map.get(name)
    categories = None if given is None else _categories(f"{side}.map.{name}", given, source, target)
    if given is None and source.datatype != target.datatype and "BYTES" in (source.datatype, target.datatype):
        raise InvalidAdapter(f"{side}.cast.{name}", "text and numbers need a map, which names each category")
    return Path(source, target, default, categories, before, columns, after)


def _categories(
    place: str, given: Mapping[str, Scalar], source: TensorSpec, target: TensorSpec
) -> dict[Scalar, Scalar]:
    """Return the categories with their keys in the datatype that arrives."""
    if source.datatype != "BYTES" and source.datatype not in INTEGERS:
        raise InvalidAdapter(place, f"{source.datatype} cannot be mapped; categories are BYTES or integers")
    _check_values(place, given.values(), target.datatype)
    found: dict[Scalar, Scalar] = {key: value for key, value in given.items()}  # noqa: C416 - a wider type of key
    if source.datatype == "BYTES":
        return found
    try:
        found = {int(key): value for key, value in given.items()}
    except ValueError:
        raise InvalidAdapter(place, f"its keys must be integers, as {source.name!r} is {source.datatype}") from None
    _check_values(place, found, source.datatype)
    return found


def _constant(place: str, spec: TensorSpec, values: tuple[Scalar, ...]) -> Constant:
    if FREE in spec.shape[1:]:
        raise InvalidAdapter(place, f"only the first axis may be free, and its shape is {list(spec.shape)}")
    row = math.prod(spec.shape[1:])
    if len(values) not in {1, row}:
        raise InvalidAdapter(place, f"has {len(values)} values; write one, or the {row} of a row")
    _check_values(place, values, spec.datatype)
    return Constant(spec, values)


def _check_values(place: str, values: Iterable[Scalar], datatype: str) -> None:
    for each in values:
        if not _is_a(each, datatype):
            raise InvalidAdapter(place, f"{each!r} is no {datatype}")


def _is_a(value: Scalar, datatype: str) -> bool:
    if datatype == "BYTES" or isinstance(value, str):
        return datatype == "BYTES" and isinstance(value, str)
    if datatype == "BOOL" or isinstance(value, bool):
        return datatype == "BOOL" and isinstance(value, bool)
    if datatype in INTEGERS:
        least, most = INTEGERS[datatype]
        return isinstance(value, int) and least <= value <= most
    return True


def _datatype_of(values: Iterable[Scalar]) -> str:
    """Return the datatype of mapped categories where nobody names one."""
    kinds = {type(each) for each in values}
    return "BYTES" if str in kinds else "FP64" if float in kinds else "INT64"


def _check_rank(side: str, name: str, own: TensorSpec) -> None:
    if len(own.shape) < 2:
        raise InvalidAdapter(
            f"{side}.reorder or select.{name}", f"shape {list(own.shape)} has no columns: the first axis are the rows"
        )


def _check_sizes(side: str, name: str, shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Refuse a change of shape that does not keep the rows and the number of elements in each."""
    if shape == other:
        return
    if not shape or not other or shape[0] != other[0] or FREE in (*shape[1:], *other[1:]):
        raise InvalidAdapter(
            f"{side}.reshape.{name}", "the first axis must stay as it is, and all others have fixed sizes"
        )
    if math.prod(shape[1:]) != math.prod(other[1:]):
        raise InvalidAdapter(
            f"{side}.reshape.{name}",
            f"{list(shape)} has {math.prod(shape[1:])} elements in a row, {list(other)} has {math.prod(other[1:])}",
        )


def _refuse_twins(side: str, specs: Sequence[TensorSpec]) -> None:
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise InvalidAdapter(side, f"callers would know two tensors called {name!r}; rename one of them")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
