"""What this worker says of its models, in words that every protocol writes in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.errors import UnknownModel, UnknownVersion
from gateway.core.names import is_model_name, version_number
from gateway.core.versions import VersionState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.core.signature import Signature
    from gateway.core.versions import VersionStatus
    from gateway.models.catalog import Catalog
    from gateway.models.loaded import LoadedVersion
    from gateway.serving.lanes import Lanes
    from gateway.serving.live import LiveTable

SERVER: str = "canary-gateway"
PLATFORM: str = "onnx_onnxv1"

EXTENSIONS: Final = ("parameters", "schedule_policy", "model_repository", "model_configuration", "statistics")
"""What every door serves beyond the protocol, and nothing else; the HTTP door adds ``binary_tensor_data``."""


class Description:
    """Reads the live table and the catalog."""

    def __init__(self, table: LiveTable, lanes: Lanes, catalog: Catalog) -> None:
        self._table = table
        self._lanes = lanes
        self._catalog = catalog

    def models(self) -> list[str]:
        """Return the names of the models."""
        return sorted(self._catalog.models())

    def index(self, *, only_ready: bool = False) -> Iterator[tuple[str, str, str, str]]:
        """Yield name, version, state and reason of every version, loaded or not, or of those that are READY."""
        for each in sorted(self._catalog.statuses(), key=lambda status: (status.model, status.version)):
            if only_ready and each.state is not VersionState.READY:
                continue
            state = "UNAVAILABLE" if each.state is VersionState.FAILED else each.state.value
            yield each.model, str(each.version), state, each.reason

    def named(self, model: str, text: str | None) -> int | None:
        """Return the version that a caller named, None for none. Raises UnknownModel, UnknownVersion."""
        if not is_model_name(model) or model not in self._catalog.models():
            raise UnknownModel(model)
        version = None if text is None else version_number(text)
        if text is not None and version is None:
            raise UnknownVersion(model, text)
        return version

    def labelled(self, model: str, label: str) -> int:
        """Return the version that *label* points to now. Raises UnknownModel, UnknownAlias."""
        self.named(model, None)
        return self._table.route(model).labelled(label)

    def statuses(self, model: str, version: int | None) -> Sequence[VersionStatus]:
        """Return what there is to say of a version, or of all of the model's, ascending. Raises UnknownVersion."""
        found = [s for s in self._catalog.statuses(model) if version in {None, s.version}]
        if not found:
            raise UnknownVersion(model, str(version))
        return sorted(found, key=lambda status: status.version)

    def loaded(self, model: str, version: int | None) -> LoadedVersion:
        """Return a version that is READY; without a number, the baseline."""
        if version is None:
            route = self._table.routes.get(model)
            version = route.routing.document.baseline if route is not None else self._lanes.without_route(model)
        return self._lanes.named(model, version).version

    def signature(self, model: str, version: int | None) -> Signature:
        """Return the signature of a version; without one, of the baseline."""
        return self.loaded(model, version).signature

    def ready_versions(self, model: str) -> list[str]:
        """Return the versions that may be named now."""
        ready = (s.version for s in self._catalog.statuses(model) if s.state is VersionState.READY)
        return [str(version) for version in sorted(ready)]

    def is_ready(self, model: str, version: int | None) -> bool:
        """Say whether a version is ready, or the model has a route that is served. Raises UnknownVersion."""
        if version is None:
            return model in self._table.routes
        if self._catalog.status(model, version) is None:
            raise UnknownVersion(model, str(version))
        return self._lanes.ready(model, version) is not None

    def counted_versions(self, model: str | None, text: str | None) -> list[tuple[str, str]]:
        """Return the READY versions whose figures a caller asked for: of all models, of one, or the one it names.

        Raises UnknownModel, UnknownVersion, VersionUnavailable.
        """
        if model is None:
            return [(name, version) for name in self.models() for version in self.ready_versions(name)]
        version = self.named(model, text)
        if version is None:
            return [(model, each) for each in self.ready_versions(model)]
        self._lanes.named(model, version)
        return [(model, str(version))]
