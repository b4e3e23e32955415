"""What a worker tells the outside: soon after every change, and seldom enough for its callers not to notice."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.processes import worker as module
from gateway.processes.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.assemble.worker import WorkerParts
    from gateway.processes.start import Start

TAKES_SECONDS = 0.004
"""What one telling takes of the processor here; it is paid for after fifty times that."""


class Outside:
    """The parts that a change goes to; *told* holds when the report was written."""

    def __init__(self) -> None:
        self.told: list[float] = []
        self.fault: Exception | None = None
        self.loading = True
        self.takes_turns = False

    def write(self, _: object) -> None:
        self.told.append(time.monotonic())
        if self.fault is not None:
            raise self.fault
        until = time.thread_time() + TAKES_SECONDS
        while time.thread_time() < until:
            continue

    def subscribe(self, _: object) -> None: ...

    def retire_unclaimed(self) -> None: ...

    def begin(self) -> None:
        self.takes_turns = True

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
        turns=outside, slab=outside,
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


def test_a_worker_takes_turns_from_when_it_answers(
    worker: Worker, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = SimpleNamespace(collect=lambda: 0, freeze=lambda: None, set_threshold=lambda *_: None)
    monkeypatch.setattr(module, "gc", calm)
    descriptor = os.dup(cast("int", worker._ready_fd))
    before = outside.takes_turns

    worker._say_ready(descriptor)

    assert (before, outside.takes_turns) == (False, True)


async def test_what_becoming_ready_costs_does_not_hold_the_next_report_up(
    worker: Worker, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clean_up(_: int) -> None:
        until = time.thread_time() + 20 * TAKES_SECONDS
        while time.thread_time() < until:
            continue

    monkeypatch.setattr(outside, "not_ready", dict)
    monkeypatch.setattr(worker, "_say_ready", clean_up)
    descriptor = worker._ready_fd

    worker._tell()

    assert worker._tell_after - asyncio.get_running_loop().time() < module.TELLING_SECONDS - TAKES_SECONDS
    assert (descriptor is None, worker._ready_fd) == (False, None)


class Begun(Exception):
    """The worker would be built now."""


def test_a_thread_of_a_worker_that_loads_keeps_the_interpreter_for_no_more_than_a_millisecond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[float] = []

    def build(_: object) -> None:
        found.append(sys.getswitchinterval())
        raise Begun

    monkeypatch.setattr("gateway.assemble.worker.build_worker", build)
    before = sys.getswitchinterval()
    try:
        with pytest.raises(Begun):
            module.main(cast("Start", None))
    finally:
        sys.setswitchinterval(before)

    assert found == [pytest.approx(0.001)]
