"""What the control process does for ever: a failure is logged with its cause, and ends nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.processes.control import _repeated

if TYPE_CHECKING:
    import pytest


async def test_a_duty_that_fails_says_so_and_is_done_again(caplog: pytest.LogCaptureFixture) -> None:
    done = asyncio.Event()
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ValueError("for once")
        done.set()

    with caplog.at_level(logging.ERROR):
        duty = asyncio.create_task(_repeated(work, 0.0, "the work failed and goes on"))
        await asyncio.wait_for(done.wait(), 5)
        duty.cancel()

    assert [(each.message, each.exc_info is not None) for each in caplog.records] == [
        ("the work failed and goes on", True)
    ]
