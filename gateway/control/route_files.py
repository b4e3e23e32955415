"""Route files: ``DIR/*.yaml``, ``*.yml`` and ``*.json`` → documents.

A file that cannot be used never hides the others: what is wrong is part of what was read. Nobody
is routed by a file directly; the steward and `gateway routes apply` bring documents to the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.document import RouteDocument, parse
from gateway.core.errors import InvalidDocument, InvalidSettings
from gateway.core.strict_json import strict_json
from gateway.strict_yaml import read_documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class RouteFiles:
    """What route files say together. *sources* maps a model to the file that routes it."""

    documents: Mapping[str, RouteDocument]
    sources: Mapping[str, Path]
    errors: Mapping[Path, InvalidDocument]
    claimed: frozenset[str]
    """Models that only a broken file may be about: nobody should guess a route for them."""


def list_files(directory: Path) -> list[Path]:
    """Return the route files in *directory* by name, without hidden ones. Raises InvalidSettings."""
    try:
        found = sorted(directory.iterdir())
    except OSError as exc:
        raise InvalidSettings(
            f"the directory of route files, {str(directory)!r}, cannot be read ({exc.strerror}); "
            f"create it, or name another one with --routes"
        ) from exc
    return [path for path in found if path.suffix in SUFFIXES and not path.name.startswith(".")]


def read_directory(directory: Path) -> RouteFiles:
    """Return what all route files in *directory* say. Raises InvalidSettings where it cannot be read."""
    return collect(list_files(directory))


def collect(paths: Iterable[Path]) -> RouteFiles:
    """Return what *paths* say together. A model that two of them route is an error of the second; the first counts."""
    documents: dict[str, RouteDocument] = {}
    sources: dict[str, Path] = {}
    errors: dict[Path, InvalidDocument] = {}
    claimed: set[str] = set()
    for path in paths:
        try:
            for document in read_file(path):
                if document.model in documents:
                    raise _twice(path, document.model, sources[document.model])
                documents[document.model], sources[document.model] = document, path
        except InvalidDocument as exc:
            errors[path] = exc
            claimed |= {path.stem} | _named(path)
    return RouteFiles(documents, sources, errors, frozenset(claimed - documents.keys()))


def read_file(path: Path) -> list[RouteDocument]:
    """Return the documents of one file. Raises InvalidDocument, with the file's name at the head of the field."""
    try:
        return [parse(data) for data in _data(path)]
    except InvalidDocument as exc:
        raise InvalidDocument(f"{path.name}: {exc.field}" if exc.field else path.name, exc.reason) from exc
    except OSError as exc:
        raise InvalidDocument(path.name, f"cannot be read: {exc.strerror}") from exc


def _data(path: Path) -> list[object]:
    raw = _content(path)
    if path.suffix == ".json":
        return [strict_json(raw)]
    try:
        found = read_documents(raw)
    except ValueError as exc:
        raise InvalidDocument("", str(exc)) from exc
    if not found:
        raise InvalidDocument("", "holds no document; write one, or remove the file")
    return found


def _named(path: Path) -> set[str]:
    """Return the models that a broken file names, as far as it can be read."""
    try:
        found = _data(path)
    except (InvalidDocument, OSError):
        return set()
    names = [data.get("model") for data in found if isinstance(data, dict)]
    return {name for name in names if isinstance(name, str)}


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InvalidDocument("", f"is over {MAX_BYTES} bytes")
    return raw


def _twice(path: Path, model: str, first: Path) -> InvalidDocument:
    return InvalidDocument(path.name, f"model {model!r} is routed by {first.name} already; keep one of the two")
