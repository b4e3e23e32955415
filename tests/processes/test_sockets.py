"""The listening sockets: one address for all workers, and a clear word when somebody else has it."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import InvalidSettings
from gateway.processes.sockets import open_sockets

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def opened(host: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    sockets = open_sockets(host, port, count, "--port")
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


@pytest.mark.parametrize("count", [1, 2, 8])
def test_every_worker_gets_a_socket_on_one_address(count: int) -> None:
    with opened("127.0.0.1", 0, count) as sockets:
        addresses = {each.getsockname() for each in sockets}

    assert len(sockets) == count
    assert len(addresses) == 1


def test_a_connection_waits_until_its_worker_takes_it() -> None:
    with opened("127.0.0.1", 0, 1) as [listener]:
        listener.listen()

        client = socket.create_connection(listener.getsockname(), timeout=5)
        accepted, _ = listener.accept()

        client.close()
        accepted.close()


@pytest.mark.parametrize("count", [1, 2])
def test_an_address_that_another_gateway_shares_is_refused_and_names_the_flag(count: int) -> None:
    with opened("127.0.0.1", 0, 2) as others:
        for each in others:
            each.listen()
        port = others[0].getsockname()[1]

        with pytest.raises(InvalidSettings) as caught:
            open_sockets("127.0.0.1", port, count, "--port")

    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "--port" in str(caught.value)


def test_an_address_that_was_just_left_can_be_taken_again() -> None:
    with opened("127.0.0.1", 0, 1) as [listener]:
        listener.listen()
        address = listener.getsockname()
        client = socket.create_connection(address, timeout=5)
        accepted, _ = listener.accept()
        accepted.close()
        client.close()

    with opened(address[0], address[1], 1) as [again]:
        assert again.getsockname() == address


def test_an_address_that_is_not_this_machines_is_refused_with_the_flag() -> None:
    with pytest.raises(InvalidSettings, match="--port"):
        open_sockets("203.0.113.1", 0, 1, "--port")


def test_version_6_of_the_internet_is_spoken() -> None:
    try:
        with opened("::1", 0, 2) as sockets:
            families = {each.family for each in sockets}
    except InvalidSettings:
        pytest.skip("this machine has no IPv6")

    assert families == {socket.AF_INET6}
