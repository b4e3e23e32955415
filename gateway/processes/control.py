"""The control process: admin API and metrics. It may die at any time; no request to a model notices."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING, Final

import uvloop

if TYPE_CHECKING:
    from gateway.assemble.control import ControlParts
    from gateway.processes.children import Start

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.25


async def run(parts: ControlParts, ready_fd: int) -> None:
    """Serve the admin port until SIGTERM."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, parts.server.stop)
    ticking = asyncio.create_task(_tick(parts))
    os.write(ready_fd, b"1")
    os.close(ready_fd)
    try:
        await parts.server.run()
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        await parts.store.close()


async def _tick(parts: ControlParts) -> None:
    while True:
        try:
            await parts.steward.tick()
        except Exception:  # the outermost door of a task: its end must not end the process
            log.exception("the steward failed and goes on")
        await asyncio.sleep(TICK_SECONDS)


def preload() -> None:
    """Import what the control process runs."""
    import gateway.assemble.control  # noqa: F401 - for its effect: the modules are there before the fork


def main(start: Start) -> None:
    """Run the control process until SIGTERM; what the launcher forks."""
    from gateway.assemble.control import build_control

    async def serve() -> None:
        await run(build_control(start), start.ready_fd)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
