"""What a version said of each row, out of its outputs, beside what was right: a class or a number.

A class is an output of integers, booleans or texts with one element per row; one called ``label`` wins. Probabilities
are an output of floats with two or more columns, none negative, that add up to 1; without a class, the largest is it.
An output of floats with one element per row is a number. The same reading as of served answers, ``labels/reading.py``,
for any number of rows at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.convert.samples import is_text
from gateway.evaluation.errors import CannotEvaluate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from gateway.evaluation.labelled import Labelled

    Array = NDArray[Any]

CHANCE_SLACK: Final = 0.01
"""How far from 1 the sum of a row of probabilities may be."""

MAX_CLASSES: Final = 1000


@dataclass(frozen=True, slots=True)
class Classes:
    """Both per row as places in *names*: what is right, and what was said; *chances* [rows, names], or None.

    *why_no_chances* says why there are none.
    """

    names: tuple[str, ...]
    right: Array
    said: Array
    chances: Array | None
    why_no_chances: str = ""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Both per row, float64: what is right, and what was said."""

    right: Array
    said: Array


Predictions = Classes | Numbers


def read_predictions(
    answers: Mapping[str, Array], declared: Sequence[str], labelled: Labelled, *, called: str
) -> Predictions:
    """Return what *answers*, tensors by output, say of the rows. Raises CannotEvaluate.

    declared: the classes in the order of the probabilities, as the metadata names them; empty where it does not.
    """
    rows = labelled.rows
    per_row = {name: each for name, each in answers.items() if each.ndim and len(each) == rows}
    single = {name: each.reshape(rows) for name, each in per_row.items() if each.size == rows}
    named = sorted((name != "label", place) for place, name in enumerate(single) if single[name].dtype.kind != "f")
    chances = next((each for each in per_row.values() if _are_chances(each)), None)
    if named:
        said = _as_classes(list(single.values())[named[0][1]])
        return _classes(said, chances, tuple(declared), labelled, called)
    if chances is not None:
        names = tuple(declared) or tuple(map(str, range(chances.shape[1])))
        if len(names) != chances.shape[1]:
            raise CannotEvaluate(
                f"{called} answers {chances.shape[1]} probabilities and its metadata names {len(names)} classes; "
                f"correct `classes` there"
            )
        return _classes(np.array(names, object)[chances.argmax(axis=1)], chances, names, labelled, called)
    if single:
        return _numbers(next(iter(single.values())), labelled, called)
    raise CannotEvaluate(
        f"{called} answers neither a class nor a number per row: its outputs are "
        + (", ".join(f"{name} {each.dtype} {list(each.shape)}" for name, each in answers.items()) or "none")
    )


def _classes(said: Array, chances: Array | None, declared: tuple[str, ...], labelled: Labelled, called: str) -> Classes:
    """Return classes as places in one list of names: the declared ones, or all that are seen."""
    right = _as_classes(labelled.target)
    names = declared or _sorted_names({*said.tolist(), *right.tolist()})
    if len(names) > MAX_CLASSES:
        raise CannotEvaluate(
            f"column {labelled.target_name!r} of {labelled.file} and {called} have {len(names)} classes together; "
            f"{MAX_CLASSES} can be evaluated: is this the target, and does it hold classes?"
        )
    place = {name: each for each, name in enumerate(names)}
    _refuse_unknown(right, place, labelled, called)
    why = ""
    if chances is None:
        why = "it answers no probabilities"
    elif chances.shape[1] != len(names):
        why = f"it answers {chances.shape[1]} probabilities for {len(names)} classes; name `classes` in its metadata"
    kept = None if chances is None or why else chances.astype(np.float64)
    return Classes(names, _places(right, place), _places(said, place), kept, why)


def _refuse_unknown(right: Array, place: Mapping[str, int], labelled: Labelled, called: str) -> None:
    unknown = sorted({each for each in right.tolist() if each not in place})
    if unknown:
        count = sum(each not in place for each in right.tolist())
        raise CannotEvaluate(
            f"{count} rows of {labelled.file} have labels in {labelled.target_name!r} that {called} does not know: "
            f"{_shown(unknown)}; it knows {_shown(list(place))}; correct the labels, or leave these rows out"
        )


def _numbers(said: Array, labelled: Labelled, called: str) -> Numbers:
    if is_text(labelled.target):
        raise CannotEvaluate(
            f"{called} answers numbers, and column {labelled.target_name!r} of {labelled.file} holds text, such as "
            f"{labelled.target[0]!r}; name another target with --target, or make it numbers"
        )
    wrong = np.flatnonzero(~np.isfinite(said))
    if len(wrong):
        raise CannotEvaluate(
            f"{called} answers no finite number to {len(wrong)} rows, the first is row {wrong[0]} (from 0); "
            f"look at what that row holds"
        )
    return Numbers(labelled.target.astype(np.float64), said.astype(np.float64))


def _are_chances(tensor: Array) -> bool:
    """Say whether each row holds probabilities of two or more classes."""
    if tensor.ndim != 2 or tensor.shape[1] < 2 or tensor.dtype.kind != "f":
        return False
    return bool((tensor >= 0).all() and (np.abs(tensor.sum(axis=1) - 1) <= CHANCE_SLACK).all())


def _as_classes(labels: Array) -> Array:
    """Return labels as text, as objects; truth values and whole floats as integers, as metadata writes them."""
    if labels.dtype.kind == "b" or (labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels))):
        labels = labels.astype(np.int64)
    return np.array([str(each) for each in labels.tolist()], object)


def _sorted_names(found: set[str]) -> tuple[str, ...]:
    """Return names in the order in which scikit-learn has them: integers by value, texts by letter."""
    try:
        return tuple(sorted(found, key=int))
    except ValueError:
        return tuple(sorted(found))


def _places(labels: Array, place: Mapping[str, int]) -> Array:
    """Return each label's place, -1 for one that only the version says."""
    return np.array([place.get(each, -1) for each in labels.tolist()], np.int64)


def _shown(names: list[str]) -> str:
    return ", ".join(repr(each) for each in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
