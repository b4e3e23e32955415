"""Builds the control process."""

from __future__ import annotations

import dataclasses
import logging
import os
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway import __version__
from gateway.control.admin import create_admin
from gateway.control.alarms import Alarms
from gateway.control.anomalies import AnomalyBoard
from gateway.control.auth import LoopbackDoor
from gateway.control.controller import Controller
from gateway.control.drift import DriftBoard
from gateway.control.drift_answers import Boards
from gateway.control.events import Events
from gateway.control.links import Links
from gateway.control.operations import Operations
from gateway.control.optimizer import Optimizer
from gateway.control.proxy import ProxyDoor
from gateway.control.rollout_news import RolloutNews
from gateway.control.steward import Steward
from gateway.control.token_file import TokenFile
from gateway.control.watching_answers import look
from gateway.core.errors import InvalidSettings
from gateway.engine.onnx import RUNTIME_VERSION
from gateway.labels.board import QualityBoard
from gateway.models.evaluations import has_passed
from gateway.models.metadata import read_metadata
from gateway.models.mirror import Follower
from gateway.models.pedigree import Pedigree
from gateway.models.references import References
from gateway.models.repository import Repository
from gateway.models.tags import tags_of
from gateway.notifications.courier import Courier
from gateway.notifications.links import LinkMaker
from gateway.notifications.targets import read_targets
from gateway.processes.http_server import HttpServer
from gateway.processes.reports import ReportDirectory
from gateway.recordings.files import RecordingFiles
from gateway.rest.guard import guarded
from gateway.rest.openapi import describe_port
from gateway.serving.snapshot import Snapshot
from gateway.settings import secret_variable
from gateway.store.redis_store import RedisRouteStore
from gateway.telemetry.alarms import AlarmCollector
from gateway.telemetry.collector import Collectors, GatewayCollector
from gateway.telemetry.drift import DriftCollector
from gateway.telemetry.failure_rate import failure_rate
from gateway.telemetry.notifications import NotificationCollector
from gateway.telemetry.otlp_metrics import MetricsSender
from gateway.telemetry.prometheus import Prometheus
from gateway.telemetry.quality import QualityCollector
from gateway.telemetry.rollouts import RolloutCollector
from gateway.telemetry.slab import SlabDirectory
from gateway.telemetry.traffic import SlabTraffic
from gateway.telemetry.windows import SlabWindows

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection, Mapping, Sequence

    from gateway.control.auth import Door
    from gateway.notifications.targets import Target
    from gateway.ports.workers import Described, Evaluated, Workers
    from gateway.processes.start import Start
    from gateway.settings import Settings

log = logging.getLogger(__name__)

SCAN_SECONDS: Final = 1.0
"""How old the control process's look at the repository may be, at least."""

SCAN_SHARE: Final = 0.005
"""Of a processor: what looking may take. With hundreds of versions a look takes longer, and there are fewer."""


@dataclasses.dataclass(slots=True)
class ControlParts:
    """What the control process is made of."""

    steward: Steward
    controller: Controller
    optimizer: Optimizer
    board: QualityBoard
    workers: Workers
    store: RedisRouteStore
    server: HttpServer
    events: Events
    courier: Courier
    drift: Boards
    follower: Follower | None
    metrics: MetricsSender | None
    """None where no collector is named."""

    def stop(self) -> None:
        """Stop accepting and end the streams, so that the server's run can end."""
        self.server.stop()
        self.events.close()


class Shelf:
    """What lies in the repository, looked at again when the last look is old."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._seen: Mapping[str, Collection[int]] = {}
        self._look_after = float("-inf")

    def __call__(self) -> Mapping[str, Collection[int]]:
        """Return model → versions on disk; a repository that cannot be read keeps what it held."""
        now = time.monotonic()
        if now > self._look_after:
            began = time.thread_time()
            try:
                self._seen = {model: tuple(found) for model, found in self._repository.scan().versions.items()}
            except InvalidSettings as exc:
                log.error("%s", exc)
            self._look_after = now + max(SCAN_SECONDS, (time.thread_time() - began) / SCAN_SHARE)
        return self._seen


def build_control(start: Start) -> ControlParts:
    """Return the parts of the control process; call it on the event loop."""
    settings = start.settings
    store = RedisRouteStore(start.store_url or settings.redis_url)
    workers = ReportDirectory(start.reports)
    snapshot = Snapshot(settings.state_dir)
    slabs = SlabDirectory(start.slabs)
    shelf = Shelf(Repository(settings.repository))
    describe = described_in(settings)
    alarms = Alarms(Prometheus(settings.prometheus_url) if settings.prometheus_url else None)
    operations = Operations(
        store,
        workers,
        shelf,
        snapshot,
        failure_rate=lambda model, version: failure_rate(slabs, model, version),
        describe=describe,
        evaluated=evaluated_in(settings),
        replica=replica_name(start.entrance.sock, start.mark),
        alarms=alarms,
    )
    collected = partial(GatewayCollector, slabs, workers, lambda: shares(workers), runtime_version=RUNTIME_VERSION)
    news = RolloutNews()
    board = QualityBoard(store, operations.models)
    maker = LinkMaker(store, settings.public_url) if settings.public_url else None
    courier = Courier(store, operations.models, targets_of(settings), maker)
    holder = secrets.token_hex(8)
    drifts = DriftBoard(operations, store, References(settings.repository).of, holder)
    boards = Boards(drifts, AnomalyBoard(operations, store, SlabWindows(slabs), holder))
    others: Collectors = [
        RolloutCollector(news), AlarmCollector(alarms), QualityCollector(board), NotificationCollector(courier.figures),
        DriftCollector(boards),
    ]  # fmt: skip
    collector = collected()
    collector.with_others(others)
    events = Events(partial(look, operations, workers), store.nudges)
    admin = create_admin(
        operations,
        workers,
        door_of(settings),
        collector.render,
        {"name": "canary-gateway", "version": __version__},
        describe=describe,
        lineage=Pedigree(settings.repository),
        tags=partial(tags_of, settings.repository),
        traffic=SlabTraffic(slabs),
        events=events,
        notifications=courier,
        recordings=RecordingFiles(settings.state_dir / "recordings"),
        drift=boards,
        links=Links(operations, store) if settings.public_url else None,
        inference_api=lambda: {**describe_port(), "servers": [{"url": inference_url(settings)}]},
        metrics_auth=settings.metrics_auth,
    )
    routes = settings.routes if settings.routes.is_dir() else None
    steward = Steward(operations, store, workers, routes, snapshot)
    controller = Controller(operations, store, news, holder=holder, drift=drifts.of)
    optimizer = Optimizer(operations, store, holder)
    server = HttpServer(admin, start.entrance.sock, guarded(settings.limits), start.tls.admin)
    follower = Follower(settings.models_url, settings.repository) if settings.models_url else None
    metrics = None
    if settings.otlp_endpoint:
        own = collected()  # each reader needs a memory of its own
        metrics = MetricsSender(own.with_others(others), settings.otlp_endpoint)
    return ControlParts(
        steward, controller, optimizer, board, workers, store, server, events, courier, boards, follower, metrics
    )


def door_of(settings: Settings) -> Door:
    """Return who decides who is let in at the admin port. Raises InvalidSettings for a file that cannot be used."""
    if settings.admin_token_file is None:
        return LoopbackDoor()
    tokens = TokenFile(settings.admin_token_file)
    return ProxyDoor(tokens, settings.admin_proxy_secret_file) if settings.admin_proxy_secret_file else tokens


def inference_url(settings: Settings) -> str:
    """Return where examples ask the inference port; one that takes any free port is shown with the usual number."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{settings.port or 8080}"


def targets_of(settings: Settings) -> Sequence[Target]:
    """Return who is told of decisions. A file that was broken since the start tells nobody until it is mended.

    What is to be told waits in the store meanwhile.
    """
    if settings.webhooks is None:
        return ()
    try:
        return read_targets(settings.webhooks, secret_variable)
    except InvalidSettings as exc:
        log.error("nobody is told of decisions until the gateway is started with a good file: %s", exc)
        return ()


def described_in(settings: Settings) -> Described:
    """Return who says what lies in a version's metadata.yaml; None where it has none."""

    def describe(model: str, version: int) -> Mapping[str, Any] | None:
        path = settings.repository / model / str(version) / "metadata.yaml"
        return dataclasses.asdict(read_metadata(path)) if path.exists() else None

    return describe


def evaluated_in(settings: Settings) -> Evaluated:
    """Return who says how versions did, by what lies beside their files: for a store, in the copy of it."""
    return lambda model, version, sha256: has_passed(settings.repository / model / str(version), sha256)


def replica_name(admin: socket.socket, mark: str) -> str:
    """Return what other replicas know this one by: its host and *admin* port, for people, and its *mark*.

    Containers may have one name and one port for all; the mark is drawn at each start, and tells them apart.
    """
    host = "".join(each for each in os.uname().nodename[:100] if each.isascii() and each.isprintable() and each != " ")
    return f"{host or 'replica'}:{admin.getsockname()[1]}#{mark}"


def shares(workers: Workers) -> Mapping[str, Mapping[int, float]]:
    """Return, per model, the shares of the highest revision that a worker serves."""
    best: dict[str, tuple[int, Mapping[int, float]]] = {}
    for report in workers.reports():
        for model, split in report.shares.items():
            revision = report.revisions.get(model, 0)
            if model not in best or revision > best[model][0]:
                best[model] = (revision, split)
    return {model: split for model, (_, split) in best.items()}
