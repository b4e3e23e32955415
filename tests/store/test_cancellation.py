"""A task that asks the store ends when it is cancelled, at whatever moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from gateway.store.redis_store import RedisRouteStore

MOMENTS: Final = 40
"""Turns of the event loop after which the cancellation comes: a call takes about ten, so each of its awaits is met."""


async def goes_on(task: asyncio.Task[None], turns: int) -> bool:
    """Cancel *task* after so many *turns* of the loop, and say whether it did not end."""
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    ended, _ = await asyncio.wait([task], timeout=1.0)
    return not ended


@pytest.mark.parametrize("repeat", range(3))
async def test_a_poll_that_is_cancelled_at_any_moment_ends(store: RedisRouteStore, repeat: int) -> None:
    is_over = False

    async def poll() -> None:
        while not is_over:
            await store.heads(["fraud", "spam"])

    deaf = [turns for turns in range(MOMENTS) if await goes_on(asyncio.create_task(poll()), turns)]
    is_over = True  # or what was not ended would keep this test's loop from closing

    assert deaf == []


async def test_listening_that_is_cancelled_at_any_moment_ends(store: RedisRouteStore) -> None:
    async def listen() -> None:
        async for _ in store.nudges():
            pass

    deaf = [turns for turns in range(MOMENTS) if await goes_on(asyncio.create_task(listen()), turns)]
    await store.close()  # ends what was not ended

    assert deaf == []
