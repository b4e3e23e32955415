"""The parts of a worker as far as a step has them, with the benchmark's model, built as the gateway builds them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from gateway.core.document import parse
from gateway.core.routing import compile_route
from gateway.core.seating import seat_route
from gateway.core.watching import Mark
from gateway.engine.onnx import OnnxEngine
from gateway.models.catalog import Catalog
from gateway.models.repository import Repository
from gateway.rest.exchange import OK_HEADERS, Answer, Inference
from gateway.rest.shortcut import Fast
from gateway.serving.codec import bounds_of
from gateway.serving.lanes import Lanes
from gateway.serving.live import Arm, LiveRoute, LiveTable
from gateway.serving.watchdog import Watchdog
from gateway.settings import Settings
from gateway.strict_yaml import read_document
from gateway.telemetry.crashes import CrashTable
from gateway.telemetry.runs import RunFile
from gateway.telemetry.slab import SlabDirectory
from load_tests import reference, servers, work
from load_tests.steps.stand_ins import ConstantCodec, Joined, OneWay, Unasked, Uncounted, Unread, Unrun
from load_tests.steps.step import Step

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.models.loaded import LoadedVersion
    from gateway.serving.batching import Lane

VERSION: Final = 1
REQUEST_ID: Final = "0123456789ab-0123"


class ConstantAnswers(Inference):
    """Writes the constant in the place of every answer."""

    def _make_codec(self, version: LoadedVersion) -> ConstantCodec:
        bounds = bounds_of(version, self.limits)
        return ConstantCodec(version.model, version.version, version.signature, bounds, batchable=version.batchable)


class Parts:
    """What a connection leads to at *step*; call it on the event loop, then ``open`` it. Files go to *directory*."""

    def __init__(self, step: Step, directory: Path) -> None:
        self.step = step
        settings = Settings()
        served = directory / "models" / work.MODEL / str(VERSION)
        shutil.copytree(work.MODELS / work.MODEL / str(VERSION), served)
        slabs = directory / "slabs"
        self._slab = SlabDirectory(slabs).acquire()
        self._metrics = self._slab if step >= Step.COUNT else Uncounted()
        self._runs = RunFile(slabs, CrashTable(slabs))
        self._watchdog = Watchdog()
        self._catalog = Catalog(Repository(directory / "models"), OnnxEngine(), self._metrics, directory / "blobs")
        self._lanes = Lanes(self._catalog, self._watchdog, self._runs, max_queue=settings.max_queue)
        kind = Inference if step >= Step.ENCODE else ConstantAnswers
        timeout, max_body = settings.request_timeout, settings.max_body
        self.inference = kind(LiveTable(), self._lanes, self._metrics, timeout=timeout, max_body=max_body)
        self.lane: Lane
        """Of the one version, from ``open`` on."""

    async def open(self) -> None:
        """Load the model and route to it."""
        await self._catalog.refresh()
        await self._catalog.settle()
        self.lane = self._lane(self._lanes.named(work.MODEL, VERSION))
        self.inference.table.put(self._route())

    async def close(self) -> None:
        """Give back what is held."""
        await self._catalog.close()
        self._watchdog.close()
        self._runs.close()
        self._slab.close()

    def exchange(self) -> type[Fast]:
        """Return what the connection makes of a request."""
        if self.step >= Step.READ:
            return Fast
        kind = Unread if self.step >= Step.EXCHANGE else Unasked
        arm = Arm(self.lane, "split", 1)
        kind.constant = Answer(200, arm, OK_HEADERS, REQUEST_ID, reference.ANSWER)
        return kind

    def _lane(self, lane: Lane) -> Lane:
        if self.step >= Step.LANE:
            return lane
        kind = Joined if self.step >= Step.RUN else Unrun
        outbox = self._lanes.outbox
        return kind(lane.version, self._watchdog, self._runs, max_queue=Settings().max_queue, outbox=outbox)

    def _route(self) -> LiveRoute:
        """Return the route of the benchmark, or one that leads to its version whatever is asked."""
        document = parse(read_document(servers.ROUTE.encode()))
        routing = compile_route(document, seat_route(document))
        kind = LiveRoute if self.step >= Step.ROUTE else OneWay
        return kind(routing, Mark("steps", 1, ""), {VERSION: self.lane}, self._metrics)
