"""The control process: admin API, metrics, rollouts. It may die at any time; no request to a model notices."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import uvloop

from gateway.processes.file_pages import let_go

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from gateway.assemble.control import ControlParts
    from gateway.processes.start import Start

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.25
STEER_SECONDS: Final = 1.0
"""How often the controller looks at the rollouts."""
OPTIMIZE_SECONDS: Final = 1.5
"""How often the optimizer looks which routes are due, and renews its leases: two looks fit into one."""
TELL_SECONDS: Final = 1.0
"""How often the courier looks for what is to be told."""
COMPARE_SECONDS: Final = 1.0
"""How often what the versions are asked is compared with their references."""
FOLLOW_SECONDS: Final = 2.0
"""How often an object store is asked for new versions."""
FIRST_TICKS_SECONDS: Final = 0.02
"""How often the steward looks until the first routes are in the store: the launcher says ready after that."""

HURRY_SECONDS: Final = 10.0
"""For how long it looks so often: large models take longer, and then a quarter of a second is nothing."""

SETTLE_SECONDS: Final = 3.0
"""How long ready waits for those routes once the workers are ready: a store that is away must not keep it back."""


class Control:
    """Runs the control process until it is told to stop."""

    def __init__(self, parts: ControlParts, start: Start) -> None:
        self._parts = parts
        self._workers = start.settings.workers
        self._ready_fd: int | None = start.ready_fd
        self._ready_by: float | None = None
        self._hurry_until = time.monotonic() + HURRY_SECONDS

    async def run(self) -> None:
        """Serve the admin port until SIGTERM."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._parts.stop)
        duties = [asyncio.create_task(each) for each in self._duties()]
        try:
            await self._parts.server.run()
        finally:
            for duty in duties:
                duty.cancel()
            await asyncio.gather(*duties, return_exceptions=True)
            if self._parts.metrics is not None:
                await asyncio.to_thread(self._parts.metrics.close)
            await self._parts.courier.close()
            await self._parts.store.close()

    async def _tick_forever(self) -> None:
        while True:
            try:
                await self._parts.steward.tick()
                self._say_ready()
            except Exception:  # the outermost door of a task: its end must not end the process
                log.exception("the steward failed and goes on")
            is_starting = self._ready_fd is not None and time.monotonic() < self._hurry_until
            await asyncio.sleep(FIRST_TICKS_SECONDS if is_starting else TICK_SECONDS)

    def _duties(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield what is done beside serving the port, for ever."""
        parts = self._parts
        yield self._tick_forever()
        yield _repeated(parts.controller.tick, STEER_SECONDS, "the controller failed and goes on")
        yield _repeated(parts.optimizer.tick, OPTIMIZE_SECONDS, "the optimizer failed and goes on")
        yield _repeated(
            parts.board.run_forever, STEER_SECONDS, "the quality of the versions could not be read, and is read again"
        )
        yield _repeated(parts.courier.tick, TELL_SECONDS, "the courier failed and goes on")
        yield _repeated(parts.drift.tick, COMPARE_SECONDS, "drift could not be looked at, and is looked at again")
        if parts.follower is not None:
            yield _repeated(
                partial(asyncio.to_thread, parts.follower.tick),
                FOLLOW_SECONDS,
                "the store of models could not be followed, and is looked at again",
            )

    def _say_ready(self) -> None:
        """Tell the launcher, once, when the workers are ready and what they serve is in the store."""
        if self._ready_fd is None:
            return
        ready = [report for report in self._parts.workers.reports() if not report.not_ready]
        if len(ready) < self._workers:
            return
        now = time.monotonic()
        self._ready_by = self._ready_by or now + SETTLE_SECONDS
        if self._parts.steward.is_settled() or now > self._ready_by:
            os.write(self._ready_fd, b"1")
            os.close(self._ready_fd)
            self._ready_fd = None
            let_go()


async def _repeated(work: Callable[[], Awaitable[object]], pause_seconds: float, failure: str) -> None:
    """Do *work* again and again; where it fails, log *failure* with the cause and go on."""
    while True:
        try:
            await work()
        except Exception:  # the outermost door of a task: its end must not end the process
            log.exception(failure)
        await asyncio.sleep(pause_seconds)


def preload() -> None:
    """Import what the control process runs."""
    import gateway.assemble.control  # noqa: F401 - for its effect: the modules are there before the fork


def main(start: Start) -> None:
    """Run the control process until SIGTERM; what the launcher forks."""
    from gateway.assemble.control import build_control

    async def serve() -> None:
        await Control(build_control(start), start).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
