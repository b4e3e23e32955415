"""Connections over TLS: what they need is read once, since reading it holds up the event loop."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import SSLConnection

from gateway.store.connections import TlsConnection
from tests.processes.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """Return the contexts that were built, each of which reads the system's certificates."""
    built: list[ssl.SSLContext] = []
    build = ssl.create_default_context

    def counted(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        built.append(build(*args, **kwargs))
        return built[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    return built


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The certificate of an authority of this test alone."""
    return Authority(tmp_path).path


def context(**asked: Any) -> ssl.SSLContext:
    return TlsConnection(host="store", port=6380, **asked).ssl_context.get()


def test_many_connections_have_one_context(made: list[ssl.SSLContext], authority: Path) -> None:
    contexts = {context(ssl_ca_certs=str(authority)) for _ in range(20)}

    assert len(contexts) == len(made) == 1


def test_control_the_library_builds_one_for_each(made: list[ssl.SSLContext], authority: Path) -> None:
    for _ in range(3):
        SSLConnection(host="store", port=6380, ssl_ca_certs=str(authority)).ssl_context.get()

    assert len(made) == 3


def test_who_asks_for_something_else_has_a_context_of_its_own(authority: Path) -> None:
    ours = context(ssl_ca_certs=str(authority))

    assert context(ssl_ca_certs=str(authority), ssl_check_hostname=False) is not ours
    assert context(ssl_ca_certs=str(authority)) is ours


def test_a_file_that_was_replaced_is_read_again(made: list[ssl.SSLContext], authority: Path) -> None:
    before = context(ssl_ca_certs=str(authority))
    os.utime(authority, ns=(1, 1))

    after = context(ssl_ca_certs=str(authority))

    assert after is not before
    assert context(ssl_ca_certs=str(authority)) is after
    assert len(made) == 2
