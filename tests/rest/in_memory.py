"""Connections to the short cut that end in memory: the whole way of a request, without a socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.server import ServerState

from gateway.core.limits import DEFAULT
from gateway.rest.shortcut import ShortCut, shortcut
from tests.rest.door import ROW, FakeDoor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from gateway.core.limits import Limits

BODY = json.dumps(ROW).encode()
HEAD = (
    b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
    b"x-user-id: user-17\r\nContent-Length: %d\r\n\r\n"
)
REQUEST = HEAD % len(BODY) + BODY


class Wire:
    """Stands in for a connection's transport."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, parts: Iterable[bytes | memoryview]) -> None:
        self.written.append(b"".join(parts))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def connected(
    door: FakeDoor, many: int, *, limits: Limits = DEFAULT, **settings: Any
) -> Sequence[tuple[ShortCut, Wire]]:
    """Return *many* new connections to the inference port of *door*; *settings* are uvicorn's."""
    made = shortcut(door.inference, limits)
    config = uvicorn.Config(door._app, http=made, ws="none", lifespan="off", log_config=None, **settings)
    config.load()
    state = ServerState()
    pairs = []
    for _ in range(many):
        protocol, wire = made(config=config, server_state=state, app_state={}), Wire()
        protocol.connection_made(cast("asyncio.Transport", wire))
        pairs.append((cast("ShortCut", protocol), wire))
    return pairs
