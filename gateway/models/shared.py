"""How versions lie in an object store, where nothing can be renamed: files first, then the manifest that names them.

``NAME/VERSION/manifest.json`` makes a version: it is created only where there is none, so that of two writers each gets
a number of its own, and last, so that one who is killed leaves no version and no gap. It names files below
``NAME/.files/``. A version may also be copied there by hand, as ``NAME/VERSION/model.onnx`` with what lies beside it.
Blocks.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import msgspec

from gateway.core.names import VERSION_NUMBER, is_model_name
from gateway.models.evaluations import EVALUATION_FILE
from gateway.models.objects import StoreAway
from gateway.models.references import REFERENCE_FILE
from gateway.models.repository import DIGESTS_FILE, GOLDEN_FILE, METADATA_FILE, MODEL_FILE
from gateway.models.tags import TAGS_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.models.objects import ObjectStore

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
FILES: Final = (MODEL_FILE, METADATA_FILE, GOLDEN_FILE, DIGESTS_FILE, EVALUATION_FILE, TAGS_FILE, REFERENCE_FILE)
MAX_MANIFEST_BYTES: Final = 64 * 1024
MAX_TRIES: Final = 100

_KEY: Final = re.compile(rf"(?P<model>[^/]+)/(?P<version>{VERSION_NUMBER.pattern})/(?P<file>[^/]+)")


class File(msgspec.Struct, frozen=True):
    """One file of a version, as its manifest names it."""

    key: str
    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """The files of one version, by their names."""

    format: int
    files: dict[str, File]


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of a version in the store. *sha256* is empty where no manifest says it; equal *tag*, equal content."""

    key: str
    bytes: int
    tag: str
    sha256: str = ""


def publish_shared(store: ObjectStore, model: str, files: Mapping[str, bytes]) -> int:
    """Write *files* as the next version of *model*, and return its number. Raises StoreAway; then it may be there."""
    place = f"{model}/.files/{uuid4().hex}"
    named = {}
    for name, content in files.items():
        if not store.create(f"{place}/{name}", content):
            raise StoreAway(f"{store.url} says that {place}/{name} is there already; try again")
        named[name] = File(f"{place}/{name}", hashlib.sha256(content).hexdigest(), len(content))
    manifest = msgspec.json.format(msgspec.json.encode(Manifest(FORMAT, named)), indent=2)
    for _ in range(MAX_TRIES):
        number = 1 + max(versions_in(store.keys()).get(model, {0: None}))
        if store.create(f"{model}/{number}/{MANIFEST}", manifest):
            return number
    raise StoreAway(f"{store.url} gets versions of {model} faster than one can be added; try again when it is quiet")


def versions_in(keys: Mapping[str, tuple[int, str]]) -> dict[str, dict[int, dict[str, Stored]]]:
    """Return model → version → name → the object that lies at the version itself, with its manifest if it has one."""
    found: dict[str, dict[int, dict[str, Stored]]] = {}
    for key, (size, tag) in keys.items():
        match = _KEY.fullmatch(key)
        if match and is_model_name(match["model"]) and match["file"] in (*FILES, MANIFEST):
            versions = found.setdefault(match["model"], {})
            versions.setdefault(int(match["version"]), {})[match["file"]] = Stored(key, size, tag)
    return found


def files_of(store: ObjectStore, model: str, objects: Mapping[str, Stored]) -> dict[str, Stored]:
    """Return the files of the version that consists of *objects*. Raises StoreAway, and ValueError for no manifest."""
    at = objects.get(MANIFEST)
    return dict(objects) if at is None else beside(read_manifest(store, model, at), objects)


def beside(named: Mapping[str, Stored], objects: Mapping[str, Stored]) -> dict[str, Stored]:
    """Return what a manifest *named*, and what came later: the model stays, other files at the version take over."""
    later = {name: file for name, file in objects.items() if name not in {MANIFEST, MODEL_FILE}}
    return {**named, **later}


def check_fetched(path: Path, file: Stored) -> None:
    """Raise ValueError where the file at *path* is not the one that the manifest names."""
    if not file.sha256:
        return
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != file.sha256:
        raise ValueError(f"{file.key} has the SHA-256 {digest[:12]}…, and its manifest says {file.sha256[:12]}…")


def read_manifest(store: ObjectStore, model: str, at: Stored) -> dict[str, Stored]:
    """Return the files that a manifest names. Raises StoreAway, and ValueError where it is none."""
    if at.bytes > MAX_MANIFEST_BYTES:
        raise ValueError(f"{at.key} has {at.bytes} bytes and may have {MAX_MANIFEST_BYTES}")
    manifest = msgspec.json.decode(store.read(at.key), type=Manifest)
    if manifest.format != FORMAT:
        raise ValueError(f"{at.key} is of format {manifest.format}, and this release reads {FORMAT}")
    for name, file in manifest.files.items():
        if name not in FILES or not file.key.startswith(f"{model}/.files/") or ".." in file.key:
            raise ValueError(f"{at.key} names {name!r} at {file.key!r}, which is no file of the version")
    return {name: Stored(file.key, file.bytes, file.sha256, file.sha256) for name, file in manifest.files.items()}
