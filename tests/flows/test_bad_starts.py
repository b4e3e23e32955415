"""A start that cannot be: exit code 2, one sentence that names the culprit and what to do, nothing left behind."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

import pytest

from tests.flows.conftest import close_all, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

SECONDS: Final = 15.0
PORTS: Final = ("--port", "--admin-port", "--grpc-port")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def refused(root: Path, flags: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Start a gateway that must not start, check what is the same for all, and return its sentence."""
    gateway = prepare(root, "refused", flags=flags, environment=environment or {})
    try:
        gateway.spawn()
        assert gateway.wait(SECONDS) == 2, gateway.stderr()
        assert gateway.left() == set()
        assert gateway.runtime_files() == []
        assert not (gateway.state / "run").exists()
        assert gateway.stdout() == ""
        lines = gateway.stderr().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("gateway")
        return lines[0]
    finally:
        close_all([gateway])


@pytest.mark.parametrize("flag", PORTS)
def test_a_port_in_use_is_named(flag: str, taken: int, tmp_path: Path) -> None:
    said = refused(tmp_path, (flag, str(taken)))

    assert f"127.0.0.1:{taken} is in use" in said
    assert flag in said


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        ((), {"GATEWAY_WORKRES": "2"}, ("GATEWAY_WORKRES", "GATEWAY_WORKERS")),
        ((), {"GATEWAY_COFFEE": "black"}, ("GATEWAY_COFFEE", "gateway serve --help")),
        ((), {"GATEWAY_MAX_QUEUE": "0"}, ("GATEWAY_MAX_QUEUE", "'0'", "from 1")),
        (("--wrokers", "2"), {}, ("--wrokers", "--help")),
        (("--workers", "two"), {}, ("--workers", "'two'", "whole number")),
        (("--workers", "0"), {}, ("--workers", "'0'", "from 1")),
        (("--drain-delay", "soon"), {}, ("--drain-delay", "'soon'", "5s")),
        (("--models", "no/such/place"), {}, ("--models", "no/such/place", "NAME/VERSION/model.onnx")),
        (("--redis-url", "localhost:6379"), {}, ("--redis-url", "redis://")),
        (("--redis-server", "no/such/program"), {}, ("--redis-server", "no/such/program")),
        (("--admin-host", "0.0.0.0"), {}, ("--admin-host", "0.0.0.0", "--admin-token-file")),
        (("--admin-token-file", "no/such/file"), {}, ("--admin-token-file", "no/such/file")),
        (("--host", "999.1.1.1"), {}, ("999.1.1.1",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else " ".join(value.keys()),
)
def test_a_setting_that_cannot_be_used_is_named_with_what_to_do(
    flags: Sequence[str], environment: Mapping[str, str], words: Sequence[str], tmp_path: Path
) -> None:
    said = refused(tmp_path, flags, environment)

    for word in words:
        assert word in said


def test_a_state_directory_has_one_gateway(begin: Callable[..., Gateway], tmp_path: Path) -> None:
    first = begin()

    said = refused_beside(first, tmp_path)

    assert str(first.state) in said
    assert str(first.pid) in said
    assert first.is_ready()


def refused_beside(first: Gateway, root: Path) -> str:
    """Start a second gateway on the state directory of *first* and return what it says."""
    second = prepare(root, "second", flags=("--state-dir", str(first.state)))
    try:
        second.spawn()
        assert second.wait(SECONDS) == 2, second.stderr()
        assert second.left() == set()
        (line,) = second.stderr().splitlines()
        return line
    finally:
        close_all([second])
