"""The embedded server: it starts, keeps what was written, and never outlives its launcher."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gateway.core.errors import StateDirectoryInUse, StoreUnavailable
from gateway.ports.routes import AuditEntry
from gateway.store import embedded
from gateway.store.embedded import EmbeddedServer
from gateway.store.probe import Answer, probe
from gateway.store.redis_store import RedisRouteStore
from gateway.store.server_binary import find_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRY = AuditEntry(0, "ada", "because", "route", None, None)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that was not started yet."""
    server = EmbeddedServer(tmp_path, find_server(None))
    yield server
    server.stop()


def socket_of(url: str) -> Path:
    return Path(urlsplit(url).path)


def journal(state_dir: Path) -> Path:
    (found,) = state_dir.glob("store/appendonlydir/*.incr.aof")
    return found


async def write(url: str, *payloads: bytes) -> None:
    store = RedisRouteStore(url)
    for revision, payload in enumerate(payloads):
        await store.write("m", payload, ENTRY, expected=revision)
    await store.close()


async def read(url: str) -> bytes | None:
    store = RedisRouteStore(url)
    route = await store.read("m")
    await store.close()
    return None if route is None else route.payload


def wait_until_gone(process_id: int, seconds: float) -> bool:
    """Wait for a process that is nobody's child here; a zombie that nobody reaps is gone too."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_a_server_answers_when_start_returns(fresh: EmbeddedServer) -> None:
    url = fresh.start()

    assert probe(socket_of(url)) is Answer.READY
    assert fresh.is_running()
    assert fresh.process_id is not None


def test_starting_twice_starts_one_server(fresh: EmbeddedServer) -> None:
    first = (fresh.start(), fresh.process_id)

    assert (fresh.start(), fresh.process_id) == first


def test_a_stopped_server_leaves_no_process_and_no_socket(fresh: EmbeddedServer) -> None:
    directory = socket_of(fresh.start()).parent
    process_id = fresh.process_id
    assert process_id is not None

    fresh.stop()
    fresh.stop()

    assert wait_until_gone(process_id, 1)
    assert not directory.exists()
    assert (fresh.is_running(), fresh.process_id) == (False, None)


def test_a_frozen_server_can_be_stopped(fresh: EmbeddedServer) -> None:
    fresh.start()
    assert fresh.process_id is not None
    os.kill(fresh.process_id, signal.SIGSTOP)
    started = time.monotonic()

    fresh.stop()

    assert time.monotonic() - started < embedded.STOP_SECONDS


async def test_a_stop_and_a_start_keep_the_routes(fresh: EmbeddedServer) -> None:
    await write(fresh.start(), b"one", b"two")
    fresh.stop()

    assert await read(fresh.start()) == b"two"


async def test_a_torn_journal_costs_only_what_was_torn(fresh: EmbeddedServer, tmp_path: Path) -> None:
    await write(fresh.start(), b"one", b"two")
    fresh.stop()
    with journal(tmp_path).open("r+b") as file:
        file.truncate(journal(tmp_path).stat().st_size - 10)

    assert await read(fresh.start()) == b"one"


async def test_a_journal_damaged_in_the_middle_is_named_with_what_to_do(fresh: EmbeddedServer, tmp_path: Path) -> None:
    await write(fresh.start(), *([b"x"] * 20))
    fresh.stop()
    content = bytearray(journal(tmp_path).read_bytes())
    middle = content.index(b"\r\n*", len(content) // 2) + 2
    content[middle : middle + 4] = b"\x00\xff\x00\xff"
    journal(tmp_path).write_bytes(content)

    with pytest.raises(StoreUnavailable) as told:
        fresh.start()

    assert "journal is damaged" in str(told.value)
    assert str(tmp_path / "store") in str(told.value)
    assert not fresh.is_running()


def test_a_program_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\necho no room on this ship\nexit 3\n")
    program.chmod(0o755)
    server = EmbeddedServer(tmp_path, program)

    with pytest.raises(StoreUnavailable, match="no room on this ship"):
        server.start()

    server.stop()


def test_a_program_that_never_answers_is_given_up_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    server = EmbeddedServer(tmp_path, program)
    monkeypatch.setattr(embedded, "START_SECONDS", 0.3)

    with pytest.raises(StoreUnavailable, match="did not answer"):
        server.start()

    assert not server.is_running()
    server.stop()


def test_a_second_server_never_opens_the_same_journal(
    fresh: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.start()
    second = EmbeddedServer(tmp_path, find_server(None))
    monkeypatch.setattr(embedded, "LOCK_SECONDS", 0.1)

    with pytest.raises(StateDirectoryInUse) as refused:
        second.start()

    assert refused.value.holder == str(fresh.process_id)
    second.stop()


def test_a_start_off_the_main_thread_is_refused(fresh: EmbeddedServer) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            fresh.start()
        except RuntimeError as exc:
            caught.append(exc)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert "main thread" in str(caught[0])


def test_a_ctrl_c_in_the_terminal_does_not_reach_the_server(fresh: EmbeddedServer) -> None:
    fresh.start()

    assert fresh.process_id is not None
    assert os.getpgid(fresh.process_id) != os.getpgid(0)


def test_nobody_else_can_reach_the_socket_or_read_the_journal(fresh: EmbeddedServer, tmp_path: Path) -> None:
    directory = socket_of(fresh.start()).parent

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


def test_a_long_runtime_directory_is_not_used_for_the_socket(
    fresh: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))

    url = fresh.start()

    assert len(os.fsencode(socket_of(url))) < 104


LAUNCHER = """
import sys, time
from pathlib import Path
from gateway.store.embedded import EmbeddedServer
from gateway.store.server_binary import find_server
server = EmbeddedServer(Path(sys.argv[1]), find_server(None))
print(server.start(), server.process_id, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_launcher_killed_with_9_takes_its_server_along_and_the_next_finds_the_routes(
    fresh: EmbeddedServer, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        url, process_id = launcher.stdout.readline().split()
        asyncio.run(write(url, b"kept"))
        launcher.kill()

    is_gone = wait_until_gone(int(process_id), 3)
    next_url = fresh.start()

    assert is_gone
    assert asyncio.run(read(next_url)) == b"kept"
    shutil.rmtree(socket_of(url).parent)
