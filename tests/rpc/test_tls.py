"""gRPC over TLS, with the client that people have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from gateway.processes.tls import read_contexts
from gateway.settings import Settings
from tests.processes.certificates import Authority
from tests.rpc.door import LOCAL, RpcDoor, message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def door(authority: Authority) -> AsyncIterator[RpcDoor]:
    """Shows a certificate, and wants one from its callers."""
    cert, key = authority.issue("server")
    tls = read_contexts(Settings(tls_cert=cert, tls_key=key, tls_client_ca=authority.path)).rpc
    door = RpcDoor(timeout=20.0, max_body=1 << 20, tls=tls)
    door.serving = asyncio.create_task(door.server.run())
    yield door
    door.server.stop()
    await door.serving
    door._port.close()


def credentials(authority: Authority, shown: tuple[Path, Path] | None = None) -> grpc.ChannelCredentials:
    cert, key = (None, None) if shown is None else (path.read_bytes() for path in shown)
    return grpc.ssl_channel_credentials(authority.path.read_bytes(), key, cert)


async def test_a_caller_with_a_certificate_is_answered(door: RpcDoor, authority: Authority) -> None:
    async with grpc.aio.secure_channel(door.address, credentials(authority, authority.issue("caller"))) as channel:
        door.channel = channel
        said = await door.infer_message(message())

    assert said.code is grpc.StatusCode.OK
    assert door.outcomes(1) == ["ok"]


async def test_a_caller_without_a_certificate_is_not_answered(door: RpcDoor, authority: Authority) -> None:
    async with grpc.aio.secure_channel(door.address, credentials(authority)) as channel:
        door.channel = channel
        said = await door.infer_message(message(), seconds=3.0)

    assert said.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert door.outcomes(1) == []


async def test_a_refused_caller_is_told_and_let_go(door: RpcDoor, authority: Authority) -> None:
    client = authority.client(authority.issue("caller"))
    client.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(LOCAL, door.port, ssl=client)
    spoken: Any = writer.get_extra_info("ssl_object")
    writer.write(b"GET / HTTP/1.1\r\n\r\n" * 2)

    async with asyncio.timeout(5):
        told = await reader.read()
    writer.close()

    assert spoken.selected_alpn_protocol() == "h2"
    assert spoken.version() == "TLSv1.3"
    assert told


async def test_a_caller_without_tls_is_not_spoken_to(door: RpcDoor) -> None:
    reader, writer = await asyncio.open_connection(LOCAL, door.port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    async with asyncio.timeout(5):
        told = await reader.read()
    writer.close()

    assert b"HTTP" not in told
