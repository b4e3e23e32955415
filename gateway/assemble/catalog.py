"""Builds the catalog of a data worker: its engine, what tries its files, and what they may take of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.assemble.verifier import memory_of_a_worker
from gateway.engine.onnx import OnnxEngine
from gateway.models.budget import Budget
from gateway.models.catalog import Catalog
from gateway.models.signing import read_trusted
from gateway.settings import cores
from gateway.verification.asking import RemoteVerifier

if TYPE_CHECKING:
    from gateway.models.repository import Repository
    from gateway.models.turns import Turns
    from gateway.processes.start import Start
    from gateway.telemetry.slab import WorkerSlab


def catalog_of(start: Start, repository: Repository, slab: WorkerSlab, turns: Turns) -> Catalog:
    """Return the catalog of a worker's versions, counted in *slab*. Raises InvalidSettings for keys it cannot read."""
    settings = start.settings
    return Catalog(
        repository,
        OnnxEngine(),
        slab,
        settings.state_dir / "blobs",
        load="all" if settings.load == "all" else "routed",
        most_threads=max(1, cores() // settings.workers),
        providers=settings.providers,
        verifier=RemoteVerifier(start.asked) if start.asked is not None else None,
        budget=Budget(memory_of_a_worker(settings), settings.model_idle),
        trusted=read_trusted(settings.trusted_keys) if settings.trusted_keys is not None else None,
        turns=turns,
    )
