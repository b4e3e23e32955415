"""A data worker: the inference port, and the tasks that keep its versions and routes current.

It answers health checks from its first moment, is ready when its routes are served, and never exits
because a model or the store is bad.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

import uvloop

from gateway.processes.file_pages import let_go

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.assemble.worker import WorkerParts
    from gateway.processes.start import Start

log = logging.getLogger(__name__)

RESCAN_SECONDS: Final = 2.0
BEAT_SECONDS: Final = 0.25
AGAIN_SECONDS: Final = 1.0
"""How long a background task that failed waits before it starts again."""

TELLING_SHARE: Final = 0.02
"""Of the loop's time: what telling the outside may take. With hundreds of versions it takes milliseconds each time."""

TELLING_SECONDS: Final = 0.5
"""Whatever it takes, a change is told after so long."""

FIRST_READ_SECONDS: Final = 1.0
"""How long a start waits for the store before it serves what is on disk."""


GC_THRESHOLD: Final = (20_000, 20, 50)
"""A request leaves no cycles behind: look rarely for what reference counts did not free (5 % of the CPU at 700)."""


SWITCH_SECONDS: Final = 0.001
"""A thread that loads gives the interpreter to the loop after so long, Python's own default being 5 ms: a request
takes it back two or three times. Measured beside a walk over a graph of 60 MB: 1.4 instead of 5.4 ms each time."""


class Worker:
    """Runs the parts of one data worker until it is told to stop."""

    def __init__(self, parts: WorkerParts, ready_fd: int, accept_after: float) -> None:
        """*accept_after*: seconds that connections may wait for this worker to be ready, where others answer too."""
        self._parts = parts
        self._accept_after = accept_after
        self._may_accept = asyncio.Event()
        self._ready_fd: int | None = ready_fd
        self._started = False
        self._draining = False
        self._telling: asyncio.TimerHandle | None = None
        self._telling_at = 0.0
        """On the loop's clock. The handle does not say: uvloop's of what is due at once has no time."""
        self._tell_after = 0.0
        parts.catalog.subscribe(lambda _: self._changed())
        parts.adoption.subscribe(self._changed)
        parts.adoption.subscribe(parts.rehearsals.wake)
        parts.rehearsals.subscribe(self._changed)

    async def run(self) -> None:
        """Serve until SIGTERM, or SIGUSR2 where there is a successor; then finish what is in flight and return."""
        parts = self._parts
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGUSR2, self._make_way)
        loop.add_signal_handler(signal.SIGUSR1, self._drain)
        tasks = [asyncio.create_task(self._supervised(name, make)) for name, make in self._duties().items()]
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._may_accept.wait(), self._accept_after)
            async with asyncio.TaskGroup() as doors:
                for door in parts.doors():
                    doors.create_task(door.run())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._send_last()
            parts.report_file.remove()
            for outbox in parts.outboxes:
                await asyncio.to_thread(outbox.close)
            await parts.catalog.close()
            await parts.store.close()
            parts.watchdog.close()
            parts.runs.close()
            parts.slab.close()

    async def _send_last(self) -> None:
        """Bring what the last answers told to the store, where that answers."""
        try:
            await self._parts.evidence.finish()
            if self._parts.labels is not None:
                await self._parts.labels.finish()
            await self._parts.recordings.finish()
        except Exception:  # the outermost door of a worker that ends: what follows gives back what it holds
            log.exception("what the last requests told is not in the store")

    def _duties(self) -> dict[str, Callable[[], Awaitable[None]]]:
        parts = self._parts
        labels = {} if parts.labels is None else {"labels": parts.labels.run_forever}
        return {
            "routes": self._follow_routes,
            "nudges": parts.watcher.nudge_forever,
            "evidence": parts.evidence.run_forever,
            "rehearsals": parts.rehearsals.run_forever,
            "snapshot": parts.snapshot.write_forever,
            "recordings": parts.recordings.run_forever,
            "drift": parts.drift.run_forever,
            "heartbeat": self._beat,
            **labels,
        }

    async def _supervised(self, name: str, make: Callable[[], Awaitable[None]]) -> None:
        """Run a background task for ever: one that fails is logged and started again."""
        while True:
            try:
                await make()
            except Exception:  # the outermost door of a task: its end must not end the worker
                log.exception("task %r failed and is started again", name)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _follow_routes(self) -> None:
        """Find the first routes (store, snapshot, route files, default), then follow the store and the repository."""
        parts = self._parts
        await parts.learn_names()
        try:
            await asyncio.wait_for(parts.watcher.poll(), FIRST_READ_SECONDS)
        except TimeoutError:
            log.warning("the store did not answer within %s s, starting without it", FIRST_READ_SECONDS)
        parts.use_snapshot()
        await parts.catalog.refresh()
        self._started = True
        self._changed()
        async with asyncio.TaskGroup() as both:
            both.create_task(parts.watcher.poll_forever())
            both.create_task(self._rescan())

    async def _rescan(self) -> None:
        while True:
            await asyncio.sleep(RESCAN_SECONDS)
            await self._parts.catalog.refresh()
            self._parts.adoption.look_at_clock()
            self._changed()

    async def _beat(self) -> None:
        parts, due = self._parts, time.monotonic()
        while True:
            now = time.monotonic()
            parts.slab.heartbeat(now, max(0.0, now - due))
            parts.slab.connections(sum(door.connections() for door in parts.doors()))
            parts.slab.traffic(parts.inference.in_flight, parts.inference.last_started)
            due = now + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)

    def _changed(self) -> None:
        """Have the outside told soon: at once, or when the last time is paid for."""
        loop = asyncio.get_running_loop()
        at = loop.time() if self._may_be_ready() else max(loop.time(), self._tell_after)
        if self._telling is not None:
            if self._telling_at <= at:
                return
            self._telling.cancel()
        self._telling, self._telling_at = loop.call_at(at, self._tell), at

    def _may_be_ready(self) -> bool:
        """Say whether this change may be the one that a start waits for: nothing is left to load, and nobody knows."""
        return self._ready_fd is not None and self._started and not self._parts.catalog.is_loading()

    def _tell(self) -> None:
        """Tell the outside: readiness, the report, and the launcher when it is ready for the first time."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        began = time.thread_time()  # not the clock on the wall: a busy machine is no reason to tell late
        parts = self._parts
        if self._started:
            parts.use_files()
        reasons = dict(parts.adoption.not_ready())
        if self._draining or not self._started:
            reasons["worker"] = "draining" if self._draining else "starting"
        parts.reasons.clear()
        parts.reasons.update(reasons)
        parts.report_file.write(parts.report())
        pause = min((time.thread_time() - began) / TELLING_SHARE, TELLING_SECONDS)
        self._tell_after = asyncio.get_running_loop().time() + pause
        if not reasons and self._ready_fd is not None:
            self._say_ready(self._ready_fd)  # what it cleans up is no part of what telling costs
            self._ready_fd = None

    def _say_ready(self, descriptor: int) -> None:
        self._parts.slab.retire_unclaimed()
        gc.collect()
        gc.freeze()  # what is alive now stays alive: no later collection looks at it again
        gc.set_threshold(*GC_THRESHOLD)
        self._parts.turns.begin()
        self._may_accept.set()
        os.write(descriptor, b"1")
        os.close(descriptor)
        let_go()

    def _drain(self) -> None:
        """Be not ready and serve on, closing each connection with its next answer."""
        self._draining = True
        self._parts.inference.closing = True
        self._tell()

    def _make_way(self) -> None:
        """End, and leave the connections that are idle to the successor, which is ready."""
        self._stop()
        self._parts.server.make_way()

    def _stop(self) -> None:
        self._drain()
        self._may_accept.set()
        for door in self._parts.doors():
            door.stop()


def preload(*, grpc: bool) -> None:
    """Import what a worker runs, so that the modules are there before the fork."""
    import gateway.assemble.worker

    if grpc:
        gateway.assemble.worker.preload_rpc()


def main(start: Start) -> None:
    """Run a worker until SIGTERM; what the launcher forks."""
    from gateway.assemble.worker import build_worker

    sys.setswitchinterval(SWITCH_SECONDS)

    async def serve() -> None:
        await Worker(build_worker(start), start.ready_fd, start.accept_after).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
