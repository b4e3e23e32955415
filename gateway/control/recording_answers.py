"""The answers of the admin API about recordings: they translate and decide nothing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, StreamingResponse

from gateway.core.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.responses import Response

    from gateway.control.admin_answers import Call
    from gateway.ports.observing import Recording

log = logging.getLogger(__name__)

LINES: Final = "application/x-ndjson"
PIECE_BYTES: Final = 256 << 10


class NothingRecorded:
    """Implements ``ports.RecordingShelf`` where nothing is recorded."""

    def recordings(self) -> Sequence[Recording]:
        return ()

    def read(self, model: str) -> Iterator[bytes]:  # noqa: ARG002 - the port's
        return iter(())

    def delete(self, model: str) -> int:  # noqa: ARG002 - the port's
        return 0


async def list_recordings(call: Call) -> Response:
    """Show how much is recorded. That is no secret; what was recorded is for operators."""
    found = await asyncio.to_thread(call.admin.recordings.recordings)
    return JSONResponse({"recordings": [asdict(each) for each in found if call.who.reaches(each.model)]})


async def export_recordings(call: Call) -> Response:
    """Send the recorded requests as they lie on the disk."""
    await _check(call)
    log.info("%s exports what is recorded of %s", call.who.name, call.model)
    return StreamingResponse(_pieces(call.admin.recordings.read(call.model)), media_type=LINES)


async def delete_recordings(call: Call) -> Response:
    """Delete what is recorded of a model, also of one that is gone."""
    await _check(call)
    size = await asyncio.to_thread(call.admin.recordings.delete, call.model)
    log.info("%s deleted %d bytes that were recorded of %s", call.who.name, size, call.model)
    return JSONResponse({"model": call.model, "deleted_bytes": size})


async def _check(call: Call) -> None:
    """Refuse a model that is neither here nor was recorded. Raises UnknownModel."""
    if call.model in call.operations.models():
        return
    found = await asyncio.to_thread(call.admin.recordings.recordings)
    if call.model not in {each.model for each in found}:
        raise UnknownModel(call.model)


def _pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield *lines* in pieces worth sending: each is fetched on a thread."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
