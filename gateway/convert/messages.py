"""What passes between the command and the confined process, as files in a directory that both know.

The confined process ran code of strangers, so what it leaves is read by its declared types and bounds, and never
as a pickle.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import msgspec
import numpy as np

from gateway.convert.errors import CannotConvert
from gateway.core.errors import InvalidModel
from gateway.models.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

MessageT = TypeVar("MessageT", bound=msgspec.Struct)

ORDER: Final = "order.json"
REPORT: Final = "report.json"
ANSWERS: Final = "answers.npz"
GRAPH: Final = "model.onnx"

MAX_REPORT_BYTES: Final = 8 << 20
MAX_ANSWERS_BYTES: Final = 1 << 30
MAX_GRAPH_BYTES: Final = 4 << 30


class NoMessage(ValueError):
    """What a confined process left is no message of the kind that it should be."""


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be converted: the names of two files beside the order."""

    model: str
    sample: str
    trusted: bool
    seconds: int


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it went. *refusal* is empty where the graph and the answers lie beside it."""

    refusal: str = ""
    held: list[str] = []
    kind: str = ""
    estimator: str = ""
    columns: list[str] = []
    classes: list[str] = []
    parameters: dict[str, str | int | float | bool] = {}
    libraries: dict[str, str] = {}
    notes: list[str] = []


def write_message(path: Path, message: msgspec.Struct) -> None:
    """Write *message* to the file at *path*."""
    path.write_bytes(msgspec.json.encode(message))


def read_order(scratch: Path) -> Order:
    """Return the order in *scratch*, which is ours."""
    return msgspec.json.decode((scratch / ORDER).read_bytes(), type=Order)


def read_report(scratch: Path) -> Report | None:
    """Return what the process left in *scratch*, None where it left nothing. Raises CannotConvert for nonsense."""
    try:
        return left_message(scratch / REPORT, Report, MAX_REPORT_BYTES)
    except NoMessage as exc:
        raise CannotConvert(f"the process that read the file left a report that is none: {exc}") from exc


def left_message(path: Path, kind: type[MessageT], most: int) -> MessageT | None:
    """Return the message of at most *most* bytes that a confined process left, None where it left nothing.

    Raises NoMessage for what is none of its *kind*, and as ``left_file``.
    """
    if not path.is_file():
        return None
    with left_file(path, most) as file:
        content = file.read()
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise NoMessage(str(exc)) from exc


def write_answers(scratch: Path, answers: dict[str, NDArray[Any]]) -> None:
    """Write arrays of numbers, and texts as numpy's fixed-width ones, which need no pickle."""
    plain: dict[str, Any] = {name: each.astype(str) if each.dtype == object else each for name, each in answers.items()}
    np.savez(scratch / ANSWERS, **plain)


def read_answers(scratch: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays that the process left. Raises CannotConvert where they are none."""
    try:
        with left_file(scratch / ANSWERS, MAX_ANSWERS_BYTES) as file, np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (ValueError, OSError, zipfile.BadZipFile, KeyError) as exc:
        raise CannotConvert(f"the process that read the file left answers that are none: {exc}") from exc


def take_graph(scratch: Path, to: Path) -> None:
    """Copy the graph that the process left to a new file at *to*, which it never knew. Raises CannotConvert."""
    with left_file(scratch / GRAPH, MAX_GRAPH_BYTES) as file, to.open("xb") as copy:
        shutil.copyfileobj(file, copy)


@contextmanager
def left_file(path: Path, max_bytes: int) -> Iterator[BinaryIO]:
    """Yield the file at *path*, opened as what it was checked to be: a regular file of its own. Raises CannotConvert.

    Anything else could be a door to a file that the process itself was kept from, or a pipe that never ends.
    """
    try:
        with open_regular(path, max_bytes=max_bytes) as (descriptor, _), os.fdopen(os.dup(descriptor), "rb") as file:
            yield file
    except InvalidModel as exc:
        raise CannotConvert(f"the process that read the file left something that is no answer: {exc.reason}") from exc
