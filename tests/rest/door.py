"""The inference port without a network: a caller that speaks ASGI, over versions that are fakes or real models."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from gateway.core.errors import ModelFailed
from gateway.core.outcomes import OUTCOMES
from gateway.core.watching import Mark
from gateway.engine.onnx import OnnxEngine
from gateway.models.catalog import Catalog
from gateway.models.repository import Repository
from gateway.rest.app import InferencePort, Metadata
from gateway.rest.exchange import Inference
from gateway.serving.adoption import Adoption
from gateway.serving.lanes import Lanes
from gateway.serving.live import LiveTable
from gateway.telemetry.layout import Layout
from gateway.telemetry.slab import SlabDirectory
from tests.serving.fakes import FakeRuns, FakeWatchdog, Floor, compiled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.ports.engine import Tensor
    from gateway.ports.metrics import Metrics, Statistics, VersionFigures
    from gateway.ports.workers import Caller

SHIPPED = Path(__file__).parents[2] / "models"


@dataclass(frozen=True)
class Reply:
    """One answer. *headers* are lower-case and joined; *raw* keeps them as they were sent."""

    status: int
    raw: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode("latin-1") for name, value in self.raw}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeControl:
    """Implements ``ports.RepositoryControl``: remembers what was ordered, and refuses whom and what a test says."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, str, int | None, str]] = []
        self.callers: list[Caller] = []
        self.named: list[str] = []
        """The models that callers wanted to order about."""
        self.turned_away: Exception | None = None
        self.failure: Exception | None = None

    def admit(self, caller: Caller, model: str) -> str:
        self.callers.append(caller)
        self.named.append(model)
        if self.turned_away is not None:
            raise self.turned_away
        return "ann"

    async def load(self, model: str, version: int | None, *, who: str) -> None:
        self._take("load", model, version, who)

    async def unload(self, model: str, version: int | None, *, who: str) -> None:
        self._take("unload", model, version, who)

    def _take(self, verb: str, model: str, version: int | None, who: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.orders.append((verb, model, version, who))


class Door:
    """The ASGI application of a worker."""

    def __init__(
        self, floor: Any, metrics: Metrics, *, timeout: float = 30.0, max_body: int = 64 << 20, max_queue: int = 1024
    ) -> None:
        self.table: LiveTable = floor.table
        self.adoption: Adoption = floor.adoption
        self.inference = Inference(floor.table, floor.lanes, metrics, timeout=timeout, max_body=max_body)
        self.control = FakeControl()
        self.figures: dict[tuple[str, str], VersionFigures] = {}
        statistics = cast("Statistics", SimpleNamespace(figures=lambda: self.figures))
        self._described = partial(
            Metadata, floor.table, floor.lanes, floor.catalog, floor.adoption.not_ready, self.control, statistics
        )
        self.statistics = statistics
        self.feedback = None

    @property
    def feedback(self) -> Any:
        """Who takes feedback; None where it is off."""
        return self._feedback

    @feedback.setter
    def feedback(self, desk: Any) -> None:
        self._feedback = desk
        self._app: Any = InferencePort(self.inference, self._described(feedback=desk).app())

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[bytes] = b"",
        headers: Iterable[tuple[str, str | bytes]] = (),
        *,
        query: bytes = b"",
        hangs_up: bool = False,
        leaves: asyncio.Event | None = None,
        address: str = "127.0.0.1",
    ) -> Reply:
        """Send one request, its body in pieces where it is a list.

        *hangs_up*: the caller leaves before the end of its body; *leaves*: after it, when this is set.
        """
        pieces = [body] if isinstance(body, bytes) else list(body)
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": hangs_up or number < len(pieces)}
            for number, piece in enumerate(pieces, start=1)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop(0)
            if not hangs_up:
                await (leaves or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        encoded = [(name.lower().encode(), v if isinstance(v, bytes) else v.encode()) for name, v in headers]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query, "root_path": "", "headers": encoded,
            "client": (address, 1), "server": ("127.0.0.1", 8080),
        }  # fmt: skip
        await self._app(scope, receive, send)
        if not sent:
            return Reply(0, [], b"")
        start, *rest = sent
        return Reply(start["status"], list(start["headers"]), b"".join(part.get("body", b"") for part in rest))

    async def infer(
        self, model: str, request: Any, headers: Iterable[tuple[str, str | bytes]] = (), *, version: object = None
    ) -> Reply:
        """Send an inference request: bytes as they are, anything else as JSON."""
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        pin = "" if version is None else f"/versions/{version}"
        return await self.ask("POST", f"/v2/models/{model}{pin}/infer", body, headers)


class FakeDoor(Door):
    """Over sessions that are Python functions, and counters that remember."""

    def __init__(self, *, max_queue: int = 1024, **how: Any) -> None:
        self.floor = Floor(max_queue=max_queue)
        super().__init__(self.floor, self.floor.metrics, **how)

    def outcomes(self, version: object, model: str = "fraud") -> list[str]:
        return self.floor.metrics.version(model, str(version)).outcomes


class RealFloor:
    """Shipped models in ONNX Runtime, counted in a slab, as in a worker."""

    def __init__(self, directory: Path, models: Sequence[str]) -> None:
        root = directory / "models"
        root.mkdir(parents=True)
        for model in models:
            (root / model).symlink_to(SHIPPED / model)
        self.slabs = SlabDirectory(directory / "slabs")
        self.metrics = self.slabs.acquire()
        self.catalog = Catalog(Repository(root), OnnxEngine(), self.metrics, directory / "blobs")
        self.lanes = Lanes(self.catalog, FakeWatchdog(), FakeRuns(), max_queue=1024)
        self.table = LiveTable()
        self.adoption = Adoption(self.table, self.catalog, self.lanes, self.metrics)


class RealDoor(Door):
    """Over shipped models."""

    def __init__(self, directory: Path, *models: str, **how: Any) -> None:
        self.floor = RealFloor(directory, models)
        super().__init__(self.floor, self.floor.metrics, **how)

    async def open(self) -> None:
        """Load every version; raise where one does not come up."""
        await self.floor.catalog.refresh()
        await self.floor.catalog.settle()
        states = {status.state.value for status in self.floor.catalog.statuses()}
        assert states == {"READY"}, self.floor.catalog.statuses()
        self.adoption.provide({})

    async def close(self) -> None:
        await self.floor.catalog.close()
        self.floor.metrics.close()

    def counted(self) -> dict[tuple[str, str], dict[str, int]]:
        """Return what the slab says: model and version → outcome → count, without zeros."""
        layout = Layout()
        return {
            block.key: {
                name: int(count) for name, count in zip(OUTCOMES, block.counts[layout.outcomes], strict=True) if count
            }
            for slab in self.floor.slabs.read().slabs
            for block in slab.blocks
        }


def tensor(name: str, datatype: str, shape: Sequence[int], data: Any) -> dict[str, Any]:
    """Return an input of a request."""
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}


def request(*inputs: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return an inference request."""
    return {**members, "inputs": list(inputs)}


ROW = request(tensor("x", "FP32", (1, 2), [1, 2]))
"""A request that the fake versions answer."""


def raising(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    """Stand for a model that always fails."""
    raise ModelFailed("fraud", 2, "it always does")


def buggy(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    """Stand for a fault of the gateway itself."""
    raise RuntimeError("/secret/path is on fire")


def send_all_to(door: FakeDoor, version: int, *, revision: int = 7, **members: Any) -> None:
    """Route everything of ``fraud`` to *version*; the baseline is version 1."""
    split = {"1": int(version == 1), "2": int(version == 2)}
    door.adoption.want(Mark("a", revision, str(version)), compiled(split, **{"baseline": "1", **members}))


def ours(reply: Reply) -> tuple[str | None, ...]:
    """Return the version, the revision and the rule that an answer names."""
    return tuple(reply.headers.get(name) for name in ("x-gateway-version", "x-gateway-revision", "x-gateway-rule"))
