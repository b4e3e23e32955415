"""What a worker tells the outside: soon after every change, and seldom enough for its callers not to notice."""

from __future__ import annotations

import asyncio
import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.processes.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.assemble.worker import WorkerParts

TAKES_SECONDS = 0.004
"""What one telling takes of the processor here; it is paid for after fifty times that."""


class Outside:
    """The parts that a change goes to; *told* holds when the report was written."""

    def __init__(self) -> None:
        self.told: list[float] = []
        self.fault: Exception | None = None
        self.loading = True

    def write(self, _: object) -> None:
        self.told.append(time.monotonic())
        if self.fault is not None:
            raise self.fault
        until = time.thread_time() + TAKES_SECONDS
        while time.thread_time() < until:
            continue

    def subscribe(self, _: object) -> None: ...

    def wake(self) -> None: ...

    def is_loading(self) -> bool:
        return self.loading

    def not_ready(self) -> dict[str, str]:
        return {"fraud/1": "loading"}


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def worker(outside: Outside) -> Iterator[Worker]:
    parts: Any = SimpleNamespace(
        adoption=outside, catalog=outside, rehearsals=outside, report_file=outside, reasons={},
        inference=SimpleNamespace(closing=False), report=lambda: None, use_files=lambda: None,
    )  # fmt: skip
    reading, writing = os.pipe()
    worker = Worker(cast("WorkerParts", parts), writing, accept_after=0)
    worker._started = True
    yield worker
    os.close(reading)
    os.close(writing)


async def test_a_first_change_is_told_at_once(worker: Worker, outside: Outside) -> None:
    worker._changed()
    await asyncio.sleep(0.01)

    assert len(outside.told) == 1


async def test_many_changes_take_little_of_the_loop_and_the_last_one_is_told(worker: Worker, outside: Outside) -> None:
    began = time.monotonic()
    while (last := time.monotonic()) < began + 0.5:
        worker._changed()
        await asyncio.sleep(0.001)
    worker._changed()
    await asyncio.sleep(1.0)

    assert 2 <= len(outside.told) <= 5  # one for every 200 ms, and the last
    assert outside.told[-1] >= last


async def test_a_start_does_not_wait_until_the_last_telling_is_paid_for(worker: Worker, outside: Outside) -> None:
    worker._changed()
    await asyncio.sleep(0.01)
    worker._changed()  # told later: what is still loading keeps the worker from being ready anyway
    outside.loading = False
    worker._changed()
    await asyncio.sleep(0.01)

    assert len(outside.told) == 2


async def test_a_worker_that_was_ready_tells_by_the_same_rule_whatever_loads(worker: Worker, outside: Outside) -> None:
    worker._ready_fd = None
    outside.loading = False
    for _ in range(3):
        worker._changed()
        await asyncio.sleep(0.01)

    assert len(outside.told) == 1


async def test_a_worker_that_drains_tells_so_without_waiting(worker: Worker, outside: Outside) -> None:
    worker._changed()
    await asyncio.sleep(0.01)
    worker._changed()

    worker._drain()

    assert len(outside.told) == 2
    assert worker._parts.reasons == {"fraud/1": "loading", "worker": "draining"}


async def test_a_report_that_cannot_be_written_is_written_at_the_next_change(worker: Worker, outside: Outside) -> None:
    outside.fault = OSError("the disk is full")
    with pytest.raises(OSError, match="full"):
        worker._tell()
    outside.fault = None

    worker._changed()
    await asyncio.sleep(0.01)

    assert len(outside.told) == 2
