"""Builds a data worker."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.assemble.catalog import catalog_of
from gateway.assemble.repository import repository_control
from gateway.assemble.witnesses import witnesses_of
from gateway.control.reverter import StoreReverter
from gateway.control.route_files import read_directory
from gateway.core.errors import CorruptRoute, InvalidSettings
from gateway.core.watching import Mark
from gateway.engine.vocabulary import vocabularies_in
from gateway.labels.desk import FeedbackDesk
from gateway.labels.duty import LabelDuty
from gateway.labels.evidence import LabelEvidence
from gateway.labels.memory import WorkerMemory
from gateway.models.references import References
from gateway.models.repository import Repository
from gateway.models.turns import Turns
from gateway.models.vocabularies import Vocabularies
from gateway.ports.workers import WorkerReport
from gateway.processes.arrivals import Arrivals
from gateway.processes.http_server import HttpServer
from gateway.processes.reports import ReportDirectory, ReportFile
from gateway.recordings.desk import RecordingDesk
from gateway.recordings.files import RecordingFiles
from gateway.recordings.inputs import InputWriter
from gateway.rest.app import InferencePort, Metadata
from gateway.rest.exchange import Inference
from gateway.rest.shortcut import shortcut
from gateway.serving.adoption import Adoption
from gateway.serving.drift import DriftDuty
from gateway.serving.evidence import EvidenceDuty
from gateway.serving.lanes import Lanes
from gateway.serving.live import LiveRoute, LiveTable
from gateway.serving.recording import Recordings
from gateway.serving.rehearsal import Rehearsals
from gateway.serving.shadow import Shadows
from gateway.serving.snapshot import Snapshot
from gateway.serving.watchdog import Watchdog
from gateway.serving.watcher import Watcher, compile_stored
from gateway.store.redis_store import RedisRouteStore
from gateway.telemetry.crashes import CrashTable
from gateway.telemetry.figures import SlabFigures
from gateway.telemetry.runs import RunFile
from gateway.telemetry.slab import SlabDirectory, WorkerSlab

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.core.document import RouteDocument
    from gateway.models.catalog import Catalog
    from gateway.ports.metrics import Statistics
    from gateway.ports.workers import RepositoryControl
    from gateway.processes.start import Start
    from gateway.rpc.server import GrpcServer
    from gateway.settings import Settings
    from gateway.telemetry.outbox import Outbox

log = logging.getLogger(__name__)


@dataclass(slots=True)
class WorkerParts:
    """What one data worker is made of."""

    slot: int
    repository: Repository
    catalog: Catalog
    turns: Turns
    table: LiveTable
    adoption: Adoption
    watcher: Watcher
    evidence: EvidenceDuty
    rehearsals: Rehearsals
    snapshot: Snapshot
    store: RedisRouteStore
    slab: WorkerSlab
    runs: RunFile
    watchdog: Watchdog
    inference: Inference
    server: HttpServer
    recordings: RecordingDesk
    outboxes: Sequence[Outbox[Any]]
    """What is still to be sent of single requests."""
    drift: DriftDuty
    labels: LabelDuty | None
    """None where feedback is off."""
    rpc: GrpcServer | None
    """None where the gRPC door is off."""
    report_file: ReportFile
    files: Mapping[str, RouteDocument]
    names: set[str]
    """Models known before the first full scan, so that the first poll knows what to ask for."""
    reasons: dict[str, str] = field(default_factory=lambda: {"worker": "starting"})
    """What keeps the worker from being ready; the health endpoint answers with this."""

    def doors(self) -> Sequence[HttpServer | GrpcServer]:
        """Return the servers of the inference ports."""
        return [self.server] if self.rpc is None else [self.server, self.rpc]

    async def learn_names(self) -> None:
        """Look once for the models' names, before any file is loaded."""
        try:
            self.names.update((await asyncio.to_thread(self.repository.scan)).versions)
        except InvalidSettings as exc:
            log.error("%s", exc)

    def use_snapshot(self) -> None:
        """Give every model whose route the store did not give the one that was served last on this machine."""
        for model, found in self.snapshot.read().items():
            if self.adoption.has_route(model) or model not in self.names:
                continue
            try:
                compiled = compile_stored(model, found)
            except CorruptRoute as exc:
                log.error("the snapshot's route is not used: %s", exc)
                continue
            self.adoption.want(Mark(found.incarnation, found.revision, found.digest), *compiled)

    def use_files(self) -> None:
        """Give every model that still has no route the one of its file, or its highest version."""
        self.adoption.provide(self.files)

    def report(self) -> WorkerReport:
        """Return what this worker says of itself now."""
        routes = self.table.routes
        return WorkerReport(
            slot=self.slot,
            pid=os.getpid(),
            not_ready=dict(self.reasons),
            revisions={model: live.revision for model, live in routes.items()},
            versions=self.catalog.statuses(),
            store_up=self.watcher.store_up,
            shares={model: live.routing.shares() for model, live in routes.items()},
            golden=self.rehearsals.results,
            queue_limits=self.inference.lanes.queue_limits(),
        )


def build_worker(start: Start) -> WorkerParts:
    """Return the parts of a worker; call it on the event loop."""
    settings = start.settings
    slabs = SlabDirectory(start.slabs)
    slab = _slab(start, slabs)
    runs = RunFile(start.slabs, CrashTable(start.slabs))
    watchdog = Watchdog()
    repository = Repository(settings.repository)
    turns = Turns(start.reports.parent / "turns", max(1, settings.workers // 2))
    catalog = catalog_of(start, repository, slab, turns)
    lanes = Lanes(catalog, watchdog, runs, max_queue=settings.max_queue, output_bytes=settings.limits.output_bytes)
    table = LiveTable()
    shadows = Shadows(lanes.are_waited_for, slab, on_pair=LiveRoute.paired)
    recordings = RecordingDesk(RecordingFiles(settings.state_dir / "recordings"), lanes.are_waited_for)
    adoption = Adoption(
        table,
        catalog,
        lanes,
        slab,
        loads_all=settings.load == "all",
        make_route=Recordings(shadows, recordings).route,
        lost=[(lost.model, lost.version) for lost in start.lost],
    )
    snapshot = Snapshot(settings.state_dir)
    store = RedisRouteStore(start.store_url or settings.redis_url)
    names: set[str] = set()
    watcher = Watcher(
        store,
        adoption,
        snapshot,
        lambda: names.union(catalog.models()),
        answered=lambda up: slab.store_seen(time.monotonic(), up=up),
        refused=slab.route_refused,
    )
    inference = Inference(
        table, lanes, slab, timeout=settings.request_timeout, max_body=settings.max_body, limits=settings.limits
    )
    inference.witnesses, outboxes = witnesses_of(settings, slab)
    reasons = {"worker": "starting"}
    figures = SlabFigures(slabs)
    control = repository_control(settings, store, ReportDirectory(start.reports), catalog, snapshot)
    name = _incarnation()
    desk, labels = _feedback(settings, store, inference, name)
    shadows.memory = inference.memory
    words = Vocabularies(repository.root, vocabularies_in).of
    described = Metadata(table, lanes, catalog, lambda: reasons, control, figures, feedback=desk)
    return WorkerParts(
        slot=start.slot,
        repository=repository,
        catalog=catalog,
        turns=turns,
        table=table,
        adoption=adoption,
        watcher=watcher,
        rehearsals=Rehearsals(adoption.rollouts, catalog, repository.root),
        evidence=EvidenceDuty(adoption.trials, store, StoreReverter(store, _digests(catalog)), name),
        snapshot=snapshot,
        store=store,
        slab=slab,
        runs=runs,
        watchdog=watchdog,
        inference=inference,
        server=HttpServer(
            InferencePort(inference, described.app()),
            start.entrance.sock,
            shortcut(inference, settings.limits),
            start.tls.inference,
            start.entrance.kept,
        ),
        recordings=recordings,
        outboxes=outboxes,
        drift=DriftDuty(lanes.samples, store, References(repository.root).of, words),
        labels=labels,
        rpc=_rpc(start, inference, catalog, lambda: reasons, control, figures, desk),
        report_file=ReportFile(start.reports, start.slot),
        files=_route_files(settings.routes),
        names=names,
        reasons=reasons,
    )


def preload_rpc() -> None:
    """Import the gRPC door: what is imported before a fork is shared by the workers."""
    import gateway.rpc.server
    import gateway.rpc.service  # noqa: F401 - for its effect, as the other


def _slab(start: Start, slabs: SlabDirectory) -> WorkerSlab:
    """Return this worker's counters: the death that it follows is counted there, and what was run then."""
    slab = slabs.acquire()
    if start.follows_a_death:
        slab.follows_a_death()
    for lost in start.lost:
        slab.lost(lost.model, lost.version, len(lost.prints))
    return slab


def _digests(catalog: Catalog) -> Callable[[str, int], str]:
    """Return how to find the digest of a version that is loaded here; empty where it is not."""

    def digest_of(model: str, version: int) -> str:
        loaded = catalog.ready(model, version)
        return loaded.digest if loaded is not None else ""

    return digest_of


def _incarnation() -> str:
    """Return a name that no other worker has, here or elsewhere, before or after: its flushes are numbered from 1."""
    return f"{os.uname().nodename[:64]}-{os.getpid()}-{secrets.token_hex(6)}"


def _feedback(
    settings: Settings, store: RedisRouteStore, inference: Inference, name: str
) -> tuple[FeedbackDesk | None, LabelDuty | None]:
    """Return who takes feedback and who brings it to the store; nobody where it is off."""
    if not settings.feedback_ttl:
        return None, None
    writer = InputWriter(RecordingFiles(settings.state_dir / "recordings"))
    memory = WorkerMemory(store, writer, ttl_seconds=settings.feedback_ttl, per_second=settings.limits.feedback)
    evidence = LabelEvidence(store, f"{name}-labels")
    inference.memory = memory
    return FeedbackDesk(store, memory, evidence), LabelDuty(memory, evidence)


def _rpc(
    start: Start,
    inference: Inference,
    catalog: Catalog,
    not_ready: Callable[[], Mapping[str, str]],
    control: RepositoryControl,
    figures: Statistics,
    desk: FeedbackDesk | None,
) -> GrpcServer | None:
    """Return the gRPC door, None where there is no socket for it."""
    if start.rpc is None:
        return None
    from gateway.rpc.server import GrpcServer
    from gateway.rpc.service import Service

    service = Service(inference, catalog, not_ready, control, figures, desk)
    arrivals = Arrivals(start.rpc.kept) if start.rpc.kept is not None else None
    return GrpcServer(service, inference, start.rpc.sock, start.tls.rpc, arrivals)


def _route_files(directory: Path) -> Mapping[str, RouteDocument]:
    """Return the documents of the route files; a directory that is not there holds none."""
    if not directory.is_dir():
        return {}
    found = read_directory(directory)
    for path, error in found.errors.items():
        log.error("route file %s is not used: %s", path, error)
    return found.documents
