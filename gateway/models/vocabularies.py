"""Which words the text inputs of a version know, as callers name these inputs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from gateway.core.adapter import Steps
from gateway.core.errors import InvalidModel
from gateway.models.adapter_document import read_adapter
from gateway.models.repository import MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.core.signature import Signature
    from gateway.core.vocabulary import KnownWords, Vocabulary
    from gateway.models.loaded import LoadedVersion

log = logging.getLogger(__name__)


def by_place(
    known: Mapping[str, Vocabulary], signature: Signature, adapter: Mapping[str, Any] | None
) -> dict[int, Vocabulary]:
    """Return place of an input in *signature* → its vocabulary, of what is *known* of the version's own inputs.

    *signature* is what callers see, behind the *adapter* as metadata declares it.
    """
    steps = read_adapter(adapter).requests if adapter is not None else Steps()
    names = {place: steps.own_name(spec.name) for place, spec in enumerate(signature.inputs)}
    return {place: known[own] for place, own in names.items() if own in known}


class Vocabularies:
    """Reads them from the files of a repository, for versions that are loaded."""

    def __init__(self, root: Path, read: Callable[[Path], KnownWords]) -> None:
        """*read* takes a model file, may block, and raises InvalidModel."""
        self._root = root
        self._read = read

    def of(self, version: LoadedVersion) -> Mapping[int, Vocabulary]:
        """Return place of an input → its vocabulary; the log says of which there is none, and why. Blocks."""
        path = self._root / version.model / str(version.version) / MODEL_FILE
        try:
            found = self._read(path)
        except (InvalidModel, OSError) as exc:
            log.warning("the known words of %s are not counted: %s; evaluate or publish the version anew", path, exc)
            return {}
        for name, why in found.refused.items():
            log.info("the known words of input %r of %s are not counted: %s", name, path, why)
        return by_place(found.vocabularies, version.signature, version.metadata.adapter)
