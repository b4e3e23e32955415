"""The ports over TLS: which certificates can be used, who is let in, and how long a handshake may take."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.errors import InvalidSettings
from gateway.core.limits import DEFAULT
from gateway.processes.http_server import HttpServer
from gateway.processes.sockets import open_sockets
from gateway.processes.tls import Contexts, read_contexts
from gateway.rest.guard import guarded
from gateway.settings import Settings
from tests.processes.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOCAL = "127.0.0.1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def answer_ok(scope: Any, _receive: Any, send: Any) -> None:
    """The application: says which scheme it was asked over."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


@contextlib.asynccontextmanager
async def serving(tls: ssl.SSLContext | None, **limits: Any) -> AsyncIterator[int]:
    """Serve over *tls* and yield the port."""
    [sock] = open_sockets(LOCAL, 0, 1, "--port")
    server = HttpServer(answer_ok, sock, guarded(dataclasses.replace(DEFAULT, **limits)), tls)
    running = asyncio.create_task(server.run())
    await asyncio.sleep(0.05)
    try:
        yield sock.getsockname()[1]
    finally:
        server.stop()
        await running
        sock.close()


async def ask(port: int, client: ssl.SSLContext, request: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") -> bytes:
    """Send *request* and return what came before the other side closed, or the end of a short answer."""
    reader, writer = await asyncio.open_connection(LOCAL, port, ssl=client)
    writer.write(request)
    try:
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            return head + await reader.read(100)
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


def contexts(authority: Authority, client_ca: Path | None = None) -> Contexts:
    cert, key = authority.issue("server")
    return read_contexts(Settings(tls_cert=cert, tls_key=key, tls_client_ca=client_ca))


async def test_a_port_with_a_certificate_answers_over_tls(authority: Authority) -> None:
    async with serving(contexts(authority).inference) as port:
        told = await ask(port, authority.client())

    assert told.startswith(b"HTTP/1.1 200")
    assert b"https" in told


async def test_each_port_has_its_own_certificate_and_its_own_protocol(authority: Authority) -> None:
    found = contexts(authority)

    assert found.admin is None
    assert found.inference is not found.rpc
    assert read_contexts(Settings()) == Contexts()


async def test_what_is_refused_over_tls_is_told_and_the_connection_ends(authority: Authority) -> None:
    async with serving(contexts(authority).inference) as port:
        reader, writer = await asyncio.open_connection(LOCAL, port, ssl=authority.client())
        writer.write(b"GET / HTTP/3.7\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(5):
            told = await reader.read()  # up to the end, which TLS says in its own way
        writer.close()

    assert told.startswith(b"HTTP/1.1 400")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_nothing_older_than_tls_1_2_is_spoken(authority: Authority) -> None:
    old = authority.client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    also = authority.client()
    also.maximum_version = ssl.TLSVersion.TLSv1_2

    async with serving(contexts(authority).inference) as port:
        with pytest.raises((ssl.SSLError, OSError)):
            await ask(port, old)
        assert (await ask(port, also)).startswith(b"HTTP/1.1 200")


async def test_with_an_authority_for_callers_only_those_it_signed_are_answered(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "other").issue("caller")

    async with serving(contexts(authority, authority.path).inference) as port:
        for shown in (None, stranger):
            with pytest.raises((ssl.SSLError, OSError, asyncio.IncompleteReadError)):
                await ask(port, authority.client(shown))
        told = await ask(port, authority.client(authority.issue("caller")))

    assert told.startswith(b"HTTP/1.1 200")


async def test_who_does_not_finish_the_handshake_is_cut_off_like_who_does_not_finish_a_head(
    authority: Authority,
) -> None:
    async with serving(contexts(authority).inference, head_seconds=0.3) as port:
        reader, writer = await asyncio.open_connection(LOCAL, port)
        writer.write(b"\x16\x03\x01")
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


def test_a_key_may_lie_in_the_file_of_its_certificate(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("server")
    both = tmp_path / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())

    assert read_contexts(Settings(admin_tls_cert=both)).admin is not None


@pytest.mark.parametrize("flag", ["tls", "admin_tls"])
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"key": "other.key"}, "KEY_VALUES_MISMATCH"),
        ({"key": "hidden.key", "cert": "hidden.crt"}, "the key has a password"),
        ({"key": "nowhere"}, "key 'DIR/nowhere' cannot be read: No such file"),
        ({"cert": "nowhere"}, "cert 'DIR/nowhere' cannot be read"),
        ({"cert": "garbage"}, "cannot be used"),
        ({"client_ca": "garbage"}, "client-ca 'DIR/garbage' cannot be used"),
        ({"client_ca": "nowhere"}, "client-ca 'DIR/nowhere' cannot be read"),
        ({"cert": None}, "mean nothing without"),
        ({"cert": None, "key": None, "client_ca": "ca.crt"}, "mean nothing without"),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_the_name_of_their_flag(
    authority: Authority, tmp_path: Path, flag: str, broken: dict[str, str | None], said: str
) -> None:
    authority.issue("server")
    authority.issue("other")
    authority.issue("hidden", password=b"pw")
    (tmp_path / "garbage").write_text("no PEM")
    named = {"cert": "server.crt", "key": "server.key", **broken}
    given: Any = {f"{flag}_{name}": None if file is None else tmp_path / file for name, file in named.items()}

    with pytest.raises(InvalidSettings) as told:
        read_contexts(Settings(**given))

    assert said.replace("DIR", str(tmp_path)) in str(told.value)
    assert f"--{flag.replace('_', '-')}-" in str(told.value)
