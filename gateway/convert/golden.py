"""Recording golden requests: a published version is loaded here, asked, and its answers are written beside it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.convert.errors import CannotConvert
from gateway.core.errors import InvalidModel
from gateway.engine.onnx import OnnxEngine
from gateway.models.adapting import adapted
from gateway.models.golden import MAX_BYTES, TOLERANCE, GoldenRequest, GoldenTensor, parse_requests, written_requests
from gateway.models.metadata import Metadata, parse_metadata, read_metadata
from gateway.models.publishing import amend
from gateway.models.replay import record
from gateway.models.repository import GOLDEN_FILE, METADATA_FILE, MODEL_FILE
from gateway.models.warmup import NUMPY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.ports.engine import Session, Tensor

MEMBER: Final = "golden_sha256"
_LINE: Final = re.compile(rb"^golden_sha256:.*\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was written: how many *requests*, and the SHA-256 of the file."""

    path: Path
    requests: int
    sha256: str


def record_golden(models: Path, name: str, version: int, requests: Path, *, tolerance: float) -> Recorded:
    """Ask the version the *requests*, one of the Open Inference Protocol per line, and keep them with its answers.

    What it had before is replaced, and a gateway that serves it serves on. *tolerance*: how far numbers of a replay
    may differ, relative above 1. Raises CannotConvert and InvalidModel; then nothing was written.
    """
    place = models / name / str(version)
    if not (place / MODEL_FILE).is_file():
        raise CannotConvert(f"there is no version {version} of model {name!r} in {models}; name it and --models")
    beside = place / METADATA_FILE
    described = read_metadata(beside) if beside.exists() else Metadata()
    own = OnnxEngine().load(place / MODEL_FILE, model=name, version=version, threads=1)
    session, _ = adapted(own, described, model=name, version=version)
    content = written_requests(record(session, parse_requests(_read(requests)), tolerance=tolerance))
    digest = hashlib.sha256(content).hexdigest()
    try:
        metadata = declared(beside.read_bytes() if beside.exists() else b"", digest)
        amend(models, name, version, {GOLDEN_FILE: content, METADATA_FILE: metadata})
    except OSError as exc:
        raise CannotConvert(f"{place} cannot be written: {exc.strerror}; nothing is recorded") from exc
    return Recorded(place / GOLDEN_FILE, len(content.splitlines()), digest)


def declared(metadata: bytes, digest: str) -> bytes:
    """Return the text *metadata* with *digest* as its ``golden_sha256``; all else stays as it was written.

    Raises CannotConvert where that cannot be put in by adding a line, InvalidModel where the text is no metadata.
    """
    line = f"{MEMBER}: {digest}\n".encode()
    kept = _LINE.sub(b"", metadata)
    parse_metadata(kept)
    new = kept + (b"" if not kept or kept.endswith(b"\n") else b"\n") + line
    try:
        is_there = parse_metadata(new).golden_sha256 == digest
    except InvalidModel:
        is_there = False
    if not is_there:
        raise CannotConvert(f"{METADATA_FILE} is not written with one member per line; write it so, and record again")
    return new


def golden_rows(session: Session, feeds: Mapping[str, Tensor], rows: int) -> bytes:
    """Return the file that keeps the first *rows* of *feeds*, inputs by name, each as a request with its answer."""
    datatypes = {spec.name: spec.datatype for spec in session.signature.inputs}
    count = min(rows, *(len(each) for each in feeds.values()))
    requests = [
        GoldenRequest(
            row + 1,
            f"row-{row + 1}",
            {
                name: GoldenTensor(datatypes[name], np.asarray(value[row : row + 1], dtype=NUMPY[datatypes[name]]))
                for name, value in feeds.items()
            },
            {},
        )
        for row in range(count)
    ]
    return written_requests(record(session, requests, tolerance=TOLERANCE))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise CannotConvert(f"the requests {path} cannot be read: {exc.strerror}") from exc
