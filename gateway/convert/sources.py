"""What somebody names to be converted, and the one file in it that is read: a file, a folder, a registered model.

Nothing here runs what it finds: a folder is looked at, a registry is asked, and what they hold is read by the
confined process like any other file.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.convert import mlflow_folder, mlflow_server
from gateway.convert.errors import CannotConvert
from gateway.convert.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Source:
    """The file, or a TensorFlow SavedModel's directory, and what is known of where it comes from, as metadata."""

    file: Path
    known: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def opened(named: str, server: str = "") -> Iterator[Source]:
    """Yield what *named* names: a path, or ``mlflow://NAME/VERSION`` at the MLflow server with this address.

    What was fetched is deleted at the end of the block. Raises CannotConvert.
    """
    if mlflow_server.is_registered(named):
        with scratch_directory() as scratch:
            known = mlflow_server.fetch(named, server, scratch)
            source = of_path(scratch)
            yield Source(source.file, _joined(source.known, known))
    elif "://" in named:
        raise CannotConvert(f"{named} cannot be read; name a file, a folder, or mlflow://NAME/VERSION")
    else:
        yield of_path(Path(named))


def of_path(path: Path) -> Source:
    """Return what lies at *path*. Raises CannotConvert for a folder that is no saved model."""
    if not path.is_dir():
        return Source(path)
    if (path / mlflow_folder.DESCRIPTION).is_file():
        return Source(*mlflow_folder.read(path))
    if (path / "saved_model.pb").is_file():
        return Source(path)
    raise CannotConvert(
        f"the folder {path} holds neither {mlflow_folder.DESCRIPTION} (MLflow) nor saved_model.pb (TensorFlow); "
        f"name a folder that does, or a file"
    )


def _joined(folder: Mapping[str, Any], registry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what folder and registry know; ``imported`` holds what each says of it."""
    return {**folder, **registry, "imported": {**folder.get("imported", {}), **registry.get("imported", {})}}
