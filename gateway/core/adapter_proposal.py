"""Which adapter follows from two signatures by rules, and what it leaves for a person to say.

Only what loses nothing is proposed: names, the order of classes, wider datatypes, and floats of another precision. A
tensor that callers do not send, or an answer that the version does not give, has a value that no rule knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.core.adaptation import PROBABILITIES, adapt, presented_classes
from gateway.core.adapter import Adapter, Columns, Steps
from gateway.core.compatibility import WIDENS_TO, compare, misfits
from gateway.core.signature import FLOATS, FREE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.compatibility import Finding
    from gateway.core.signature import Signature, TensorSpec


@dataclass(frozen=True, slots=True)
class Proposal:
    """An *adapter*, what callers would still notice, and pairs of tensors that nothing but their place speaks for."""

    adapter: Adapter
    left: tuple[Finding, ...]
    by_position: tuple[tuple[str, str], ...]
    """The callers' name and the version's, of inputs before outputs."""


def propose(
    old: Signature,
    new: Signature,
    old_classes: Sequence[str] = (),
    new_classes: Sequence[str] = (),
    *,
    by_position: bool = False,
) -> Proposal:
    """Return the adapter that has callers of *old* served by *new*, as far as rules can tell.

    *by_position*: whether tensors that could be each other's by type and shape are paired by their place too.
    """
    inputs = _pairs(old.inputs, new.inputs, guess=by_position)
    outputs = _pairs(old.outputs, new.outputs, guess=by_position)
    sent = {was.name for was, _, _ in inputs}
    columns = _classes(outputs, tuple(old_classes), tuple(new_classes))
    adapter = Adapter(
        _steps(inputs, requests=True),
        _steps(outputs, requests=False, columns=columns),
        ignored=tuple(spec for spec in old.inputs if spec.name not in sent) if inputs else (),
    )
    presented = adapt(adapter, new).presented
    classes = presented_classes(adapter, new_classes)
    guessed = tuple((was.name, now.name) for was, now, is_guess in (*inputs, *outputs) if is_guess)
    return Proposal(adapter, misfits(compare(old, presented, old_classes, classes)), guessed)


Pair = tuple["TensorSpec", "TensorSpec", bool]
"""What was, what is, and whether that is a guess."""


def _pairs(old: Sequence[TensorSpec], new: Sequence[TensorSpec], *, guess: bool) -> list[Pair]:
    """Return what is one another: by name, then by being the only ones of a kind, then of a shape, then by place."""
    names = {spec.name: spec for spec in new}
    pairs: list[Pair] = [(spec, names[spec.name], False) for spec in old if spec.name in names]
    taken = {was.name for was, _, _ in pairs}
    gone = [spec for spec in old if spec.name not in taken]
    come = [spec for spec in new if spec.name not in taken]
    for kind in (_type_and_shape, _shape_of_numbers, _elements):
        for key in dict.fromkeys(kind(spec) for spec in gone):
            rivals, twins = ([spec for spec in specs if kind(spec) == key] for specs in (gone, come))
            if len(rivals) == len(twins) == 1 or (guess and len(rivals) == len(twins)):
                pairs += [(was, now, len(twins) > 1) for was, now in zip(rivals, twins, strict=True)]
                gone = [spec for spec in gone if spec not in rivals]
                come = [spec for spec in come if spec not in twins]
    return pairs


def _type_and_shape(spec: TensorSpec) -> tuple[object, ...]:
    return spec.datatype, spec.shape


def _shape_of_numbers(spec: TensorSpec) -> tuple[object, ...]:
    return spec.datatype == "BYTES", spec.shape


def _elements(spec: TensorSpec) -> tuple[object, ...]:
    """Return what a change of shape keeps; of a tensor whose shape may vary, its shape."""
    tail = spec.shape[1:]
    return spec.datatype == "BYTES", spec.shape[:1], tail if FREE in tail else math.prod(tail)


def _steps(pairs: Sequence[Pair], *, requests: bool, columns: Columns | None = None) -> Steps:
    """Return what turns one side of each pair into the other."""
    rename, cast, reshape, picked = {}, {}, {}, {}
    for was, now, _ in pairs:
        if was.name != now.name:
            rename[was.name] = now.name
        if was.datatype != now.datatype and _keeps_values(was, now, requests=requests):
            cast[was.name] = was.datatype
        if len(was.shape) != len(now.shape) and _elements(was) == _elements(now):
            reshape[was.name] = was.shape
        if columns is not None and now.name == PROBABILITIES:
            picked[was.name] = columns
    return Steps(rename=rename, cast=cast, reshape=reshape, columns=picked)


def _keeps_values(was: TensorSpec, now: TensorSpec, *, requests: bool) -> bool:
    source, target = (was.datatype, now.datatype) if requests else (now.datatype, was.datatype)
    return target in WIDENS_TO.get(source, ()) or {source, target} <= FLOATS


def _classes(outputs: Sequence[Pair], old: tuple[str, ...], new: tuple[str, ...]) -> Columns | None:
    """Return the columns of the new probabilities that stand for the old classes, None where they are as they were."""
    fits = any(now.name == PROBABILITIES and now.shape[1:] in {(FREE,), (len(new),)} for _, now, _ in outputs)
    if not fits or not old or old == new or not set(old) <= set(new):
        return None
    return Columns(tuple(new.index(each) for each in old), len(new))
