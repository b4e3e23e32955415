"""The control process: admin API, metrics, rollouts. It may die at any time; no request to a model notices."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Final

import uvloop

if TYPE_CHECKING:
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
        forever = (
            self._tick_forever, self._steer_forever, self._look_forever, self._tell_forever, self._follow_forever,
            self._compare_forever, self._optimize_forever,
        )  # fmt: skip
        duties = [asyncio.create_task(each()) for each in forever]
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

    async def _steer_forever(self) -> None:
        while True:
            try:
                await self._parts.controller.tick()
            except Exception:  # the outermost door of a task: its end must not end the process
                log.exception("the controller failed and goes on")
            await asyncio.sleep(STEER_SECONDS)

    async def _optimize_forever(self) -> None:
        while True:
            try:
                await self._parts.optimizer.tick()
            except Exception:  # the outermost door of a task: its end must not end the process
                log.exception("the optimizer failed and goes on")
            await asyncio.sleep(OPTIMIZE_SECONDS)

    async def _look_forever(self) -> None:
        while True:
            try:
                await self._parts.board.run_forever()
            except Exception:  # the outermost door of a task: its end must not end the process
                log.exception("the quality of the versions could not be read, and is read again")
            await asyncio.sleep(STEER_SECONDS)

    async def _tell_forever(self) -> None:
        while True:
            try:
                await self._parts.courier.tick()
            except Exception:  # the outermost door of a task: its end must not end the process
                log.exception("the courier failed and goes on")
            await asyncio.sleep(TELL_SECONDS)

    async def _compare_forever(self) -> None:
        while True:
            try:
                await self._parts.drift.tick()
            except Exception:  # the outermost door of a task: its end must not end the process
                log.exception("drift could not be looked at, and is looked at again")
            await asyncio.sleep(COMPARE_SECONDS)

    async def _follow_forever(self) -> None:
        while (follower := self._parts.follower) is not None:
            try:
                await asyncio.to_thread(follower.tick)
            except Exception:  # the outermost door of a task: its end must not end the process
                log.exception("the store of models could not be followed, and is looked at again")
            await asyncio.sleep(FOLLOW_SECONDS)

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
