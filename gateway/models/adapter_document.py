"""The ``adapter`` of a ``metadata.yaml``: read strictly, with the place of what is wrong, and written.

Whether what is read fits the version is for ``core.adaptation``, which knows the version's signature.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from gateway.core.adapter import Adapter, Columns, Constant, InvalidAdapter, Steps
from gateway.core.signature import FREE, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from gateway.core.adapter import Scalar

SIDES: Final = ("requests", "responses")
STEPS: Final = ("rename", "default", "map", "cast", "reorder", "select", "reshape", "drop", "constant")


def read_adapter(given: Any) -> Adapter:
    """Return what the member ``adapter`` declares. Raises InvalidAdapter."""
    sides = _members("", given, SIDES)
    requests = _members("requests", sides.get("requests", {}), STEPS)
    responses = _members("responses", sides.get("responses", {}), STEPS)
    if not requests and not responses:
        raise InvalidAdapter("", "says nothing; write requests or responses with a step, or leave it out")
    return Adapter(
        _steps("requests", requests),
        _steps("responses", responses),
        tuple(_each("requests.drop", requests.get("drop", {}), _spec).values()),
        _each("requests.constant", requests.get("constant", {}), _values),
        tuple(_list("responses.drop", responses.get("drop", []), str)),
        tuple(_each("responses.constant", responses.get("constant", {}), _constant).values()),
    )


def written_adapter(adapter: Adapter) -> dict[str, Any]:
    """Return the member ``adapter`` that `read_adapter` reads as this one."""
    requests = {
        **_written_steps(adapter.requests),
        "drop": {spec.name: _written_spec(spec) for spec in adapter.ignored},
        "constant": {name: _written_values(values) for name, values in adapter.filled.items()},
    }
    responses = {
        **_written_steps(adapter.responses),
        "drop": list(adapter.hidden),
        "constant": {
            each.spec.name: {**_written_spec(each.spec), "value": _written_values(each.values)}
            for each in adapter.added
        },
    }
    sides = {"requests": requests, "responses": responses}
    return {side: kept for side, said in sides.items() if (kept := {name: step for name, step in said.items() if step})}


def _steps(side: str, given: Mapping[str, Any]) -> Steps:
    def each(step: str, read: Callable[[str, str, Any], Any]) -> dict[str, Any]:
        return _each(f"{side}.{step}", given.get(step, {}), read)

    columns = each("reorder", _order)
    for name, picked in each("select", _selection).items():
        if name in columns:
            raise InvalidAdapter(f"{side}.select.{name}", "is reordered too; select names the order as well")
        columns[name] = picked
    return Steps(
        rename=each("rename", _text),
        default=each("default", _scalar),
        map=each("map", _categories),
        cast=each("cast", _datatype),
        columns=columns,
        reshape=each("reshape", _shape),
    )


def _members(place: str, given: Any, known: Collection[str]) -> dict[str, Any]:
    found = _mapping(place, given)
    for name in found:
        if name not in known:
            raise InvalidAdapter(_at(place, name), f"is not known here; known are {', '.join(known)}")
    return found


def _mapping(place: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise InvalidAdapter(place, "must be a mapping")
    return given


def _each(place: str, given: Any, read: Callable[[str, str, Any], Any]) -> dict[str, Any]:
    """Return each member of *given* as *read* makes it of its place, its name and its value."""
    return {name: read(f"{place}.{name}", name, value) for name, value in _mapping(place, given).items()}


def _list(place: str, given: Any, kind: type) -> list[Any]:
    if not isinstance(given, list) or not all(type(each) is kind for each in given):
        raise InvalidAdapter(place, f"must be a list of {'names' if kind is str else 'integers'}")
    return given


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _text(place: str, _: str, given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise InvalidAdapter(place, "must be the name that the version has for it")
    return given


def _scalar(place: str, _: str, given: Any) -> Scalar:
    if not isinstance(given, bool | int | float | str) or (isinstance(given, float) and not math.isfinite(given)):
        raise InvalidAdapter(place, "must be a finite number, a text, true or false")
    return given


def _values(place: str, name: str, given: Any) -> tuple[Scalar, ...]:
    return tuple(_scalar(place, name, each) for each in (given if isinstance(given, list) else [given]))


def _categories(place: str, name: str, given: Any) -> dict[str, Scalar]:
    found = {key: _scalar(f"{place}.{key}", name, value) for key, value in _mapping(place, given).items()}
    if not found:
        raise InvalidAdapter(place, "must name a category at least")
    return found


def _datatype(place: str, name: str, given: Any) -> str:
    try:
        return TensorSpec(name, str(given), ()).datatype
    except ValueError as exc:
        raise InvalidAdapter(place, str(exc)) from exc


def _shape(place: str, name: str, given: Any) -> tuple[int, ...]:
    shape = tuple(_list(place, given, int))
    if any(size < 1 and size != FREE for size in shape):
        raise InvalidAdapter(place, f"tensor {name!r} has a dimension below 1; write {FREE} for a free one")
    return shape


def _order(place: str, _: str, given: Any) -> Columns:
    picked = tuple(_list(place, given, int))
    if sorted(picked) != list(range(len(picked))):
        raise InvalidAdapter(place, "must list every column once, from 0; select takes some of them")
    return _columns(place, picked, len(picked))


def _selection(place: str, _: str, given: Any) -> Columns:
    found = _members(place, given, ("columns", "of"))
    of = found.get("of")
    if type(of) is not int:
        raise InvalidAdapter(f"{place}.of", "must be the number of columns that are selected from")
    return _columns(f"{place}.columns", tuple(_list(f"{place}.columns", found.get("columns"), int)), of)


def _columns(place: str, picked: tuple[int, ...], of: int) -> Columns:
    try:
        return Columns(picked, of)
    except ValueError as exc:
        raise InvalidAdapter(place, str(exc)) from exc


def _spec(place: str, name: str, given: Any) -> TensorSpec:
    found = _members(place, given, ("datatype", "shape"))
    shape = _shape(f"{place}.shape", name, found.get("shape"))
    try:
        return TensorSpec(name, str(found.get("datatype", "")), shape)
    except ValueError as exc:
        raise InvalidAdapter(place, str(exc)) from exc


def _constant(place: str, name: str, given: Any) -> Constant:
    found = _members(place, given, ("datatype", "shape", "value"))
    values = _values(f"{place}.value", name, found.get("value"))
    return Constant(_spec(place, name, {key: each for key, each in found.items() if key != "value"}), values)


def _written_steps(steps: Steps) -> dict[str, Any]:
    return {
        "rename": dict(steps.rename),
        "default": dict(steps.default),
        "map": {name: dict(categories) for name, categories in steps.map.items()},
        "cast": dict(steps.cast),
        "reorder": {name: list(each.picked) for name, each in steps.columns.items() if _is_order(each)},
        "select": {
            name: {"columns": list(each.picked), "of": each.of}
            for name, each in steps.columns.items()
            if not _is_order(each)
        },
        "reshape": {name: list(shape) for name, shape in steps.reshape.items()},
    }


def _is_order(columns: Columns) -> bool:
    return sorted(columns.picked) == list(range(columns.of))


def _written_spec(spec: TensorSpec) -> dict[str, Any]:
    return {"datatype": spec.datatype, "shape": list(spec.shape)}


def _written_values(values: tuple[Scalar, ...]) -> Scalar | list[Scalar]:
    return values[0] if len(values) == 1 else list(values)
