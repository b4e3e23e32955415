"""An engine, counters and a repository directory that a test of the catalog holds in its hands."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

from gateway.core.errors import InvalidModel
from gateway.core.signature import Signature, TensorSpec
from gateway.models.catalog import Catalog
from gateway.models.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.core.versions import VersionStatus
    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor
    from gateway.ports.metrics import VersionCells

SIGNATURE = Signature((TensorSpec("x", "FP32", (-1, 3)),), (TensorSpec("y", "FP32", (-1, 3)),))

GOOD = b"good"
BAD = b"bad"


class FakeSession:
    """y = x; tells its engine when and where it is destroyed."""

    def __init__(self, engine: FakeEngine, name: str) -> None:
        self.signature = SIGNATURE
        self.warning = ""
        self._engine = engine
        self._name = name

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        return [feeds["x"]]

    def stop(self) -> None: ...

    def pool_seconds(self) -> float:
        return 0.0

    def __del__(self) -> None:
        self._engine.destroyed.append((self._name, threading.current_thread().name))


class FakeEngine:
    """Loads files that begin with ``good``. While *gate* is clear, loads wait for it."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.loads: list[str] = []
        self.destroyed: list[tuple[str, str]] = []
        self.failure: InvalidModel | None = None
        self.threads: list[int] = []
        self.providers: list[tuple[str, ...]] = []

    def load(
        self, path: Path, *, model: str, version: int, threads: int, providers: Sequence[str] = ("cpu",)
    ) -> FakeSession:
        self.loads.append(f"{model}/{version}")
        self.threads.append(threads)
        self.providers.append(tuple(providers))
        assert self.gate.wait(10)
        if self.failure is not None:
            raise self.failure
        if not path.read_bytes().startswith(GOOD):
            raise InvalidModel("bad_model", "the file is not good")
        return FakeSession(self, f"{model}/{version}")


class FakeCells:
    def answered(self, outcome: int, seconds: float) -> None: ...

    def ran(self, rows: int, seconds: float) -> None: ...

    def computed(self, cpu_seconds: float) -> None: ...

    def waited(self, seconds: Sequence[float]) -> None: ...

    def fell_back(self, reason: str) -> None: ...

    def happened(self, event: str, times: int = 1) -> None: ...
    def copied(self, outcome: str, seconds: float) -> None: ...

    def copy_dropped(self, reason: str) -> None: ...

    def compared(self, agrees: bool, mean: float | None, most: float | None) -> None: ...

    def recorded(self, outcome: str) -> None: ...


class FakeMetrics:
    def __init__(self) -> None:
        self.known: dict[tuple[str, str], FakeCells] = {}
        self.retired: list[str] = []

    def version(self, model: str, version: str) -> VersionCells:
        return self.known.setdefault((model, version), FakeCells())

    def retire(self, model: str, version: str) -> None:
        self.retired.append(f"{model}/{version}")


class House:
    """A catalog over a directory, with everything around it faked but the disk."""

    def __init__(self, root: Path, blobs: Path) -> None:
        self.root = root
        self.engine = FakeEngine()
        self.metrics = FakeMetrics()
        self.blobs = blobs
        self.now = 1000.0
        self.heard: list[str] = []
        self.catalogs: list[Catalog] = []

    def open(self, **options: Any) -> Catalog:
        catalog = Catalog(
            Repository(self.root), self.engine, self.metrics, self.blobs, clock=lambda: self.now, **options
        )
        catalog.subscribe(lambda status: self.heard.append(f"{status.model}/{status.version} {status.state}"))
        self.catalogs.append(catalog)
        return catalog

    def put(self, name: str, content: bytes = GOOD, *, at: float = 0.0, metadata: str | None = None) -> Path:
        """Write a version that has been complete since the time *at*."""
        path = self.root / name / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (at, at))
        if metadata is not None:
            other = path.with_name("metadata.yaml")
            other.write_text(metadata)
            os.utime(other, (at, at))
        return path

    async def refreshed(self, **options: Any) -> Catalog:
        """Return a catalog that has loaded everything it wants."""
        catalog = self.open(**options)
        await renew(catalog)
        return catalog


async def renew(catalog: Catalog) -> None:
    """Scan, and wait until what follows from it is done."""
    await catalog.refresh()
    await catalog.settle()


async def until(holds: Callable[[], bool]) -> None:
    """Give the loop and its threads time until *holds*; a test that waits in vain times out."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in the code under test
            await asyncio.sleep(0.001)


def state_of(catalog: Catalog, model: str, version: int) -> str:
    return status_of(catalog, model, version).state.value


def status_of(catalog: Catalog, model: str, version: int) -> VersionStatus:
    status = catalog.status(model, version)
    assert status is not None
    return status


def ready_of(catalog: Catalog, model: str, version: int) -> LoadedVersion:
    loaded = catalog.ready(model, version)
    assert loaded is not None
    return loaded
