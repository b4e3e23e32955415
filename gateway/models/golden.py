"""Golden requests: a few requests kept with a version, each with the answer that was recorded.

``golden.jsonl`` beside ``model.onnx``; a line is one request of the Open Inference Protocol in JSON and its answer:
``{"id": "…", "inputs": […], "outputs": [{"name", "datatype", "shape", "data"}], "tolerance": 0.0001}``. Where an answer
has null, the model gave what is no finite number. The metadata's ``golden_sha256`` is compared where it is there.
Reads and writes; ``replay.py`` runs them.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from gateway.core.errors import InvalidModel
from gateway.models.files import compare_digests, open_regular
from gateway.models.metadata import Metadata, read_metadata
from gateway.models.repository import GOLDEN_FILE, METADATA_FILE
from gateway.models.warmup import NUMPY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gateway.ports.engine import Tensor

MAX_BYTES: Final = 1 << 20
MAX_REQUESTS: Final = 256
TOLERANCE: Final = 1e-4
"""How far numbers may differ where a request does not say, relative above 1: what conversions are held to."""


@dataclass(frozen=True, slots=True, eq=False)
class GoldenTensor:
    """One input or output as the file has it. *values* are of the datatype and the shape that it names."""

    datatype: str
    values: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class GoldenRequest:
    """One request and its answer, tensors by name; no *outputs* where none was recorded. *place* is its line, from 1.

    *tolerance*: how far numbers may differ, relative above 1.
    """

    place: int
    id: str
    inputs: Mapping[str, GoldenTensor]
    outputs: Mapping[str, GoldenTensor]
    tolerance: float = TOLERANCE

    def __str__(self) -> str:
        """Return what messages call it."""
        return f"golden request {self.place}" + (f" ({self.id})" if self.id else "")


def golden_of(directory: Path) -> Sequence[GoldenRequest]:
    """Return the golden requests of the version in *directory* as they are on disk, empty where it has none.

    Raises InvalidModel: golden for what is no such file, digest where the metadata declares another one, and what
    reading the metadata raises.
    """
    metadata_path = directory / METADATA_FILE
    metadata = read_metadata(metadata_path) if metadata_path.exists() else Metadata()
    path = directory / GOLDEN_FILE
    is_there = path.exists() or path.is_symlink()  # a link that leads nowhere is refused, not overlooked
    return read_golden(path if is_there else None, declared=metadata.golden_sha256)


def read_golden(path: Path | None, *, declared: str = "", signed: str = "") -> Sequence[GoldenRequest]:
    """Return the requests in the file at *path*, None for no file.

    The SHA-256 it must have, empty for any: *declared* by the metadata, *signed* by the version's digests.

    Raises InvalidModel as ``golden_of``.
    """
    if path is None:
        if declared:
            raise InvalidModel("digest", f"metadata.yaml declares golden_sha256, and there is no {GOLDEN_FILE}")
        return ()
    with open_regular(path, max_bytes=MAX_BYTES) as (descriptor, _):
        try:
            content = os.read(descriptor, MAX_BYTES + 1)
        except OSError as exc:
            raise InvalidModel("unreadable", f"{path.name} cannot be read: {exc.strerror}") from exc
    found = hashlib.sha256(content).hexdigest()
    if declared and found != declared:
        raise InvalidModel(
            "digest",
            f"the SHA-256 of {path.name} is {found[:12]}…, and metadata.yaml declares {declared[:12]}…; "
            f"record it again with `gateway models golden`",
        )
    compare_digests(path.name, found, signed)
    requests = parse_requests(content)
    for each in requests:
        if not each.outputs:
            raise _bad(each.place, "has no outputs; record them with `gateway models golden`")
    return requests


def parse_requests(content: bytes) -> Sequence[GoldenRequest]:
    """Return the requests in *content*, one per line; a line without outputs is a request that was not asked yet.

    Raises InvalidModel with code golden.
    """
    if len(content) > MAX_BYTES:
        raise InvalidModel("golden", f"{len(content)} bytes of golden requests are more than {MAX_BYTES}; keep fewer")
    lines = [(place, line) for place, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
    if not 1 <= len(lines) <= MAX_REQUESTS:
        raise InvalidModel("golden", f"{len(lines)} golden requests cannot be kept; keep 1 to {MAX_REQUESTS}")
    return [parse_request(place, line) for place, line in lines]


def written_requests(requests: Sequence[GoldenRequest]) -> bytes:
    """Return the file that ``parse_requests`` reads the same from. Raises InvalidModel where it would be too large."""
    content = b"".join(_line(each) for each in requests)
    parse_requests(content)
    return content


def _line(request: GoldenRequest) -> bytes:
    body: dict[str, Any] = {"id": request.id} if request.id else {}
    body |= {"inputs": _plain(request.inputs), "outputs": _plain(request.outputs), "tolerance": request.tolerance}
    return orjson.dumps(body) + b"\n"


def _plain(tensors: Mapping[str, GoldenTensor]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": each.datatype, "shape": each.values.shape, "data": each.values.ravel().tolist()}
        for name, each in tensors.items()
    ]


def parse_request(place: int, line: bytes) -> GoldenRequest:
    """Return the request in one *line*, the one at *place*. Raises InvalidModel with code golden."""
    try:
        body = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise _bad(place, f"is no JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise _bad(place, "is no request; write an object with inputs")
    tolerance = body.get("tolerance", TOLERANCE)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise _bad(place, "has a tolerance that is no number from 0")
    inputs, outputs = _tensors(place, body, "inputs"), _tensors(place, body, "outputs")
    return GoldenRequest(place, str(body.get("id") or "")[:64], inputs, outputs, float(tolerance))


def _tensors(place: int, body: Mapping[str, Any], role: str) -> Mapping[str, GoldenTensor]:
    """Return the tensors of *role*. Outputs without data are what a request asks for, and no answer."""
    given = body.get(role, [])
    if not isinstance(given, list) or not all(isinstance(each, dict) and "name" in each for each in given):
        raise _bad(place, f"has {role} that are no list of tensors with names")
    if role == "inputs" and not given:
        raise _bad(place, "has no inputs; write a request of the Open Inference Protocol")
    kept = [each for each in given if role == "inputs" or "data" in each]
    return {str(each["name"]): _tensor(place, role, each) for each in kept}


def _tensor(place: int, role: str, given: Mapping[str, Any]) -> GoldenTensor:
    """Return one tensor. Its data may be flat or nested; null is what is no finite number."""
    what = f"has {role[:-1]} {str(given['name'])[:64]!r}"
    datatype, shape, data = given.get("datatype"), given.get("shape"), given.get("data")
    if not isinstance(datatype, str) or datatype not in NUMPY:
        raise _bad(place, f"{what} of a datatype that is none of {', '.join(NUMPY)}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise _bad(place, f"{what} with a shape that is no list of sizes")
    if not isinstance(data, list):
        raise _bad(place, f"{what} without data in a list")
    try:
        values = _values(data, datatype).reshape(shape)
    except (TypeError, ValueError, ArithmeticError) as exc:
        raise _bad(place, f"{what} whose data does not fill {datatype} {shape}: {exc}") from exc
    return GoldenTensor(datatype, np.ascontiguousarray(values))


def _values(data: list[Any], datatype: str) -> Tensor:
    """Return *data*, flat or nested, of *datatype*. Raises TypeError, ValueError or ArithmeticError: nothing is cast
    in silence."""
    kind = np.dtype(NUMPY[datatype])
    if kind.kind == "O":
        texts = np.array(data, dtype=object)
        if not all(isinstance(each, str) for each in texts.ravel()):
            raise TypeError("it is not all text")
        return texts
    loose = np.array(data)
    taken = {"f": "fiuO", "b": "b"}.get(kind.kind, "iu")
    if loose.size and loose.dtype.kind not in taken:
        raise TypeError(f"it holds {loose.dtype}")
    with np.errstate(over="raise"):
        return np.array(data, dtype=kind)


def _bad(place: int, reason: str) -> InvalidModel:
    return InvalidModel("golden", f"{GOLDEN_FILE}: line {place} {reason}")
