"""The longest that somebody waits for the store at the admin door."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.core.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncIterator[None]:
    """Bound everything inside. Raises StoreUnavailable when the time is up.

    A store bounds each of its calls; an operation makes several, and the bound that callers know is for all.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise StoreUnavailable(
            f"the store did not answer within {seconds:g} s; a change may have landed: read before you retry"
        ) from exc
