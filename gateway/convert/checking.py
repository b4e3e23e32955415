"""What is compared by ``gateway models check``: the signatures and classes of two versions, or of two files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.convert.errors import CannotConvert
from gateway.core.compatibility import compare
from gateway.core.errors import InvalidModel
from gateway.core.names import is_model_name, version_number
from gateway.engine.onnx import OnnxEngine
from gateway.models.adapting import adapted
from gateway.models.metadata import Metadata, read_metadata
from gateway.models.repository import METADATA_FILE, MODEL_FILE

if TYPE_CHECKING:
    from gateway.core.compatibility import Finding
    from gateway.core.signature import Signature
    from gateway.ports.engine import Session


def find(named: str, models: Path) -> Path | None:
    """Return the model file that *named* means, ``NAME/VERSION`` below *models* or a path; None where there is none."""
    name, _, number = named.partition("/")
    if is_model_name(name) and version_number(number) is not None:
        path = models / name / number / MODEL_FILE
        if path.is_file():
            return path
    path = Path(named)
    path = path / MODEL_FILE if path.is_dir() else path
    return path if path.is_file() else None


def check(old: Path, new: Path) -> tuple[Finding, ...]:
    """Return the differences that callers of the model file *old* meet at *new*. Raises CannotConvert."""
    (before, old_classes), (after, new_classes) = interface(old), interface(new)
    return compare(before, after, old_classes, new_classes)


def interface(path: Path) -> tuple[Signature, tuple[str, ...]]:
    """Return the signature of the file at *path* and the classes that the metadata beside it names, as callers see
    both: behind the adapter, where there is one. Raises CannotConvert."""
    session, classes = opened(path)
    return session.signature, classes


def opened(path: Path) -> tuple[Session, tuple[str, ...]]:
    """Return the file at *path* as something that answers as its callers know it, and its classes, as `interface`."""
    beside = path.with_name(METADATA_FILE)
    try:
        metadata = read_metadata(beside) if beside.is_file() else Metadata()
        own = OnnxEngine().load(path, model=path.name, version=1, threads=1)
        session, _ = adapted(own, metadata, model=path.name, version=1)
    except InvalidModel as exc:
        raise CannotConvert(f"{path} cannot be compared ({exc.code}): {exc.reason}") from exc
    return session, metadata.classes
