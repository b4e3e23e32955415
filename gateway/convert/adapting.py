"""A version behind an adapter for another version's callers, as a child of its own: the same model file, published."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.convert import provenance
from gateway.convert.checking import interface
from gateway.convert.description import described
from gateway.convert.errors import CannotConvert
from gateway.core.adapter_proposal import propose
from gateway.core.errors import InvalidModel
from gateway.models.adapter_document import written_adapter
from gateway.models.metadata import Metadata, read_metadata
from gateway.models.publishing import publish, refusal
from gateway.models.repository import METADATA_FILE, MODEL_FILE
from gateway.strict_yaml import read_document

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.core.adapter_proposal import Proposal
    from gateway.models.publishing import Publish

KEPT: Final = (
    "training_data", "parameters", "metrics", "source_revision", "libraries", "parity", "classes", "serving",
)  # fmt: skip
"""Members of the parent's metadata that hold for the child: it is the same model."""


@dataclass(frozen=True, slots=True)
class Adapting:
    """One version, *name*/*version* below *models*, and the *old* one whose callers it is to serve."""

    models: Path
    name: str
    version: int
    old: int
    publish: Publish = publish
    """Writes the child; below *models*, unless that is a copy of a repository elsewhere."""

    def directory(self, version: int) -> Path:
        """Return where a version lies."""
        return self.models / self.name / str(version)


def proposed(wish: Adapting, *, by_position: bool) -> Proposal:
    """Return the adapter that rules find. Raises CannotConvert for a version that cannot be read, or has one."""
    if _metadata(wish).adapter is not None:
        raise CannotConvert(f"{wish.name}/{wish.version} has an adapter; adapt the version that it was adapted from")
    (before, old_classes), (after, new_classes) = (
        interface(wish.directory(each) / MODEL_FILE) for each in (wish.old, wish.version)
    )
    return propose(before, after, old_classes, new_classes, by_position=by_position)


def register(wish: Adapting, proposal: Proposal) -> int:
    """Publish the child, and return its number. Raises CannotConvert."""
    parent = wish.directory(wish.version)
    try:
        content = (parent / MODEL_FILE).read_bytes()
        return wish.publish(
            wish.models, wish.name, {MODEL_FILE: content, METADATA_FILE: _child(wish, proposal, content)}
        )
    except OSError as exc:
        raise CannotConvert(refusal(wish.models, exc)) from exc


def _child(wish: Adapting, proposal: Proposal, content: bytes) -> bytes:
    """Return the metadata of the child, whose serving names the inputs as its callers do."""
    path = wish.directory(wish.version) / METADATA_FILE
    found: dict[str, Any] = (read_document(path.read_bytes()) or {}) if path.exists() else {}
    kept: dict[str, Any] = {name: found[name] for name in KEPT if name in found}
    parent = f"{wish.name}/{wish.version}"
    if "serving" in kept:
        kept["serving"] = _serving(kept["serving"], proposal)
    return described({
        "created": provenance.now(),
        "creator": provenance.creator(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "parents": [f"{parent}:adapted-from"],
        "notes": f"{parent} for callers of {wish.name}/{wish.old}",
        "converter": "gateway models adapt",
        "adapter": written_adapter(proposal.adapter),
        **kept,
    })  # fmt: skip


def _serving(serving: dict[str, Any], proposal: Proposal) -> dict[str, Any]:
    """Return how the parent is served, its warm-up under the callers' names; their shapes are the parent's where they
    are kept, and made up anew where they are not."""
    steps = proposal.adapter.requests
    callers = {own: name for name, own in steps.rename.items()}
    wishes = {callers.get(own, own): wish for own, wish in serving.get("warm_up", {}).items()}
    kept = {name: wish for name, wish in wishes.items() if name not in steps.reshape}
    others = {name: value for name, value in serving.items() if name != "warm_up"}
    return {**others, "warm_up": kept} if kept else others


def _metadata(wish: Adapting) -> Metadata:
    path = wish.directory(wish.version) / METADATA_FILE
    try:
        found = read_metadata(path) if path.exists() else Metadata()
    except InvalidModel as exc:
        raise CannotConvert(f"{path} cannot be read: {exc.reason}") from exc
    if found.failed:
        raise CannotConvert(
            f"{wish.name}/{wish.version} was published as failed, as its child would be: {found.failed}"
        )
    return found
