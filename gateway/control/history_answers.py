"""The answers of the admin API about the whole history of a model: they translate and decide nothing."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, StreamingResponse

from gateway.control import admin_requests as ask
from gateway.control.admin_views import entry_view
from gateway.core.audit import follow, link_of
from gateway.core.errors import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.responses import Response

    from gateway.control.admin_answers import Call
    from gateway.ports.routes import AuditEntry

LINES: Final = "application/x-ndjson"
PAGE_ENTRIES: Final = 200
"""How many entries are asked of the store at once; each holds two routes."""
DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


async def show_chain(call: Call) -> Response:
    """Walk along the whole history; ``?noted=`` is a digest that one of its entries must still have."""
    noted = ask.query_members(call.request, ("noted",)).get("noted", "")
    if noted and DIGEST.fullmatch(noted) is None:
        raise InvalidDocument("noted", "this is no digest; write the 64 hexadecimal digits of an entry's digest")
    links = [link_of(entry) async for page in _pages(call) for entry in page]
    return JSONResponse({"model": call.model, **asdict(follow(links, noted))})


async def export_history(call: Call) -> Response:
    """Send every entry. The first page is fetched before the answer begins, so that a refusal is one."""
    pages = _pages(call)
    first = await anext(pages)

    async def lines() -> AsyncIterator[bytes]:
        yield _lines(call.model, first)
        async for page in pages:
            yield _lines(call.model, page)

    return StreamingResponse(lines(), media_type=LINES)


async def _pages(call: Call) -> AsyncIterator[Sequence[AuditEntry]]:
    """Yield the history, newest first, one page at least. Raises UnknownModel, StoreUnavailable."""
    page = await call.operations.history(call.model, PAGE_ENTRIES)
    yield page
    while page:
        page = await call.operations.history(call.model, PAGE_ENTRIES, page[-1].id)
        yield page


def _lines(model: str, page: Sequence[AuditEntry]) -> bytes:
    views = ({"model": model, **entry_view(entry)} for entry in page)
    return "".join(f"{json.dumps(view, separators=(',', ':'))}\n" for view in views).encode()
