"""The reference of a version: ``reference.json`` beside ``model.onnx``, and how rows become counts in its bins.

Like the evaluation that it is made by it lies outside every digest; a version whose model file is another one than the
reference names has none. Which columns a version has follows from its signature: a tensor with one element per row is
one, a matrix has one per place of a row, and a text has its class and its length. Tensors of more axes, or wider ones,
such as images and token matrices, are not looked at. Blocks.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gateway.core.errors import InvalidDocument, InvalidModel
from gateway.core.outputs import VALUE_EDGES, bin_of_text
from gateway.core.reference import (
    MAX_BYTES,
    MAX_CLASSES,
    MAX_NAME,
    PREDICTION,
    Column,
    Reference,
    hashed_name,
    read_reference,
)
from gateway.core.signature import FREE
from gateway.models.files import open_regular
from gateway.models.publishing import sync

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from gateway.core.signature import Signature

    Array = NDArray[Any]

log = logging.getLogger(__name__)

REFERENCE_FILE: Final = "reference.json"
WIDEST: Final = 64
"""Columns of inputs that are looked at, of one version; texts count once."""

_QUANTILES: Final = tuple(number / 10 for number in range(1, 10))
_VALUE_EDGES: Final = np.array(VALUE_EDGES)


class Place(NamedTuple):
    """Where a column is: input by its place in the signature, and place in a row, None where a row is one element."""

    name: str
    tensor: int
    column: int | None
    is_text: bool


class InvalidReference(ValueError):
    """The file cannot be read as a reference; evaluate the version again."""


def places_of(signature: Signature) -> tuple[Place, ...]:
    """Return the columns of the inputs of a version with *signature*, the first WIDEST of them."""
    found: list[Place] = []
    for tensor, spec in enumerate(signature.inputs):
        is_text = spec.datatype == "BYTES"
        if len(spec.shape) == 1 or (len(spec.shape) == 2 and spec.shape[1] == 1):
            name = f"{spec.name} (input)" if spec.name == PREDICTION else spec.name
            found.append(Place(name[:MAX_NAME], tensor, None, is_text))
        elif len(spec.shape) == 2 and spec.shape[1] != FREE and spec.shape[1] <= WIDEST:
            found += [
                Place(f"{spec.name[: MAX_NAME - 20]}[{place}]", tensor, place, is_text)
                for place in range(spec.shape[1])
            ]
    return tuple(found[:WIDEST])


def values_of(place: Place, tensors: Sequence[Array]) -> Array:
    """Return the column at *place* of *tensors*, in the order of the signature: one element per row."""
    tensor = tensors[place.tensor]
    return tensor.reshape(-1) if place.column is None else tensor[:, place.column]


def counted(values: Mapping[str, Array], reference: Reference | None) -> dict[str, dict[int, int]]:
    """Return column → bin → rows of *values*, column → one element per row, in the bins of *reference*.

    Without one: numbers in the buckets of ``VALUE_EDGES``, the last for what is missing; texts hashed.
    """
    found: dict[str, dict[int, int]] = {}
    for name, column in values.items():
        known = reference.column(name) if reference is not None else None
        if column.dtype.kind in "OSU":
            texts = [_text(each) for each in column.tolist()]
            lengths = np.array([len(each) for each in texts], np.float64)
            called = name if known is not None else hashed_name(name)
            found[called] = _texts(texts, known)
            length = f"{name} (length)"
            column_of_length = reference.column(length) if reference is not None else None
            found[length] = _numbers(lengths, column_of_length)
        else:
            found[name] = _numbers(column.astype(np.float64), known)
    return found


def column_of_numbers(name: str, values: Array) -> Column:
    """Return the column that *values* make: their deciles, each once, and what lies below and above all of them."""
    known = values[np.isfinite(values)]
    edges: tuple[float, ...] = ()
    if known.size:
        deciles = np.quantile(known, _QUANTILES, method="inverted_cdf")
        below = np.nextafter(known.min(), -np.inf)
        edges = tuple(float(each) for each in np.unique([below, *deciles, known.max()]) if np.isfinite(each))
    return _filled(Column(name, "numbers", (0,) * (len(edges) + 2), edges), values)


def columns_of_texts(name: str, values: Array) -> tuple[Column, Column]:
    """Return the two columns of texts: their commonest classes, and their length in characters."""
    texts = [_text(each) for each in values.tolist()]
    common = Counter(text for text in texts if text and len(text) <= MAX_NAME).most_common(MAX_CLASSES)
    classes = tuple(text for text, _ in common)
    column = _filled(Column(name, "classes", (0,) * (len(classes) + 2), (), classes), values)
    lengths = np.array([len(each) for each in texts], np.float64)
    return column, column_of_numbers(f"{name} (length)", lengths)


def write_reference(directory: Path, reference: Reference) -> None:
    """Put *reference* beside its version, whole or not at all. Raises OSError, and ValueError if too large."""
    content = reference.encoded()
    if len(content) > MAX_BYTES:
        raise ValueError(f"the reference has {len(content)} bytes and may have {MAX_BYTES}; give shorter names")
    descriptor, name = tempfile.mkstemp(prefix=".reference-", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).rename(directory / REFERENCE_FILE)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    sync(directory)


def reference_in(directory: Path, sha256: str) -> Reference | None:
    """Return the reference in a version's *directory*, None where there is none of the model with this *sha256*.

    Raises InvalidReference.
    """
    path = directory / REFERENCE_FILE
    if not os.path.lexists(path):
        return None
    try:
        with open_regular(path, max_bytes=MAX_BYTES) as (descriptor, _):
            found = read_reference(os.read(descriptor, MAX_BYTES + 1))
    except (InvalidModel, InvalidDocument) as exc:
        raise InvalidReference(f"{path} is no reference ({exc.reason}); evaluate the version again") from exc
    except OSError as exc:
        raise InvalidReference(f"{path} cannot be read ({exc.strerror or exc}); evaluate the version again") from exc
    return found if found.sha256 == sha256.lower() else None


class References:
    """The references in a repository, each file read once while it stays the same. For one thread at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[Path, tuple[tuple[int, int, int], str, Reference | None]] = {}

    def of(self, model: str, version: int, sha256: str) -> Reference | None:
        """Return the reference of a version whose model file has this *sha256*; None where there is none.

        A file that cannot be read counts as none, and the log says so once.
        """
        directory = self._root / model / str(version)
        try:
            status = (directory / REFERENCE_FILE).stat()
        except OSError:
            self._known.pop(directory, None)
            return None
        mark = status.st_mtime_ns, status.st_size, status.st_ino
        known = self._known.get(directory)
        if known is not None and known[:2] == (mark, sha256):
            return known[2]
        try:
            found = reference_in(directory, sha256)
        except InvalidReference as exc:
            log.warning("%s", exc)
            found = None
        self._known[directory] = mark, sha256, found
        return found


def _filled(column: Column, values: Array) -> Column:
    bins = (
        _texts([_text(each) for each in values.tolist()], column) if column.kind == "classes"
        else _numbers(values, column)
    )  # fmt: skip
    counts = tuple(bins.get(number, 0) for number in range(len(column.counts)))
    return Column(column.name, column.kind, counts, column.edges, column.classes)


def _numbers(values: Array, column: Column | None) -> dict[int, int]:
    edges = _VALUE_EDGES if column is None else np.array(column.edges)
    places = np.searchsorted(edges, values)
    places[np.isnan(values)] = len(edges) + 1
    counts = np.bincount(places)
    return {int(number): int(counts[number]) for number in np.flatnonzero(counts)}


def _texts(texts: Sequence[str], column: Column | None) -> dict[int, int]:
    found: Counter[int] = Counter()
    places = {name: number for number, name in enumerate(column.classes)} if column is not None else {}
    for text, many in Counter(texts).items():
        if column is None or column.kind != "classes":
            found[bin_of_text(text)] += many
        else:
            found[places.get(text, len(places)) if text else len(places) + 1] += many
    return dict(found)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
