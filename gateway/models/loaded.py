"""A version that can answer, as the request path holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.errors import VersionUnavailable
from gateway.core.versions import VersionState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.signature import Signature
    from gateway.models.metadata import Metadata
    from gateway.ports.engine import Session, Tensor
    from gateway.ports.metrics import VersionCells


class LoadedVersion:
    """One version in memory. Whoever runs it holds it, so that it is not taken away meanwhile.

    Mutable for speed: ``in_flight`` and ``last_asked`` belong to the event loop, everything else is set once, but for
    ``session``, which is swapped for one that refuses when the version is unloaded.
    """

    __slots__ = (
        "batchable",
        "cells",
        "digest",
        "in_flight",
        "last_asked",
        "memory_bytes",
        "metadata",
        "model",
        "run_seconds",
        "session",
        "signature",
        "version",
        "why_not_batchable",
    )

    def __init__(
        self,
        model: str,
        version: int,
        *,
        digest: str,
        session: Session,
        metadata: Metadata,
        cells: VersionCells,
        batchable: bool,
        why_not_batchable: str,
        run_seconds: float,
        memory_bytes: int = 0,
        last_asked: float = 0.0,
    ) -> None:
        """*last_asked*: when a caller last named it, or a route let go of it; seconds on the catalog's clock."""
        self.model = model
        self.version = version
        self.digest = digest
        self.session = session
        self.signature: Signature = session.signature
        self.metadata = metadata
        self.cells = cells
        self.batchable = batchable
        self.why_not_batchable = why_not_batchable
        self.run_seconds = run_seconds
        self.memory_bytes = memory_bytes
        self.last_asked = last_asked
        self.in_flight = 0

    def hold(self) -> None:
        """Count one more request that needs this version."""
        self.in_flight += 1

    def release(self) -> None:
        """Count one request less."""
        self.in_flight -= 1

    def retire(self) -> Session:
        """Return the session for its destruction; a request that comes late is told that the version is gone."""
        session, self.session = self.session, _Gone(self.model, self.version, self.signature)
        return session


class _Gone:
    """Stands where the session of an unloaded version was."""

    def __init__(self, model: str, version: int, signature: Signature) -> None:
        self._model = model
        self._version = version
        self.signature = signature
        self.warning = ""

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:  # noqa: ARG002 - the port's parameter
        raise VersionUnavailable(self._model, self._version, VersionState.UNAVAILABLE, "it was just unloaded")

    def stop(self) -> None:
        """Nothing runs here."""

    def pool_seconds(self) -> float:
        return 0.0
