"""Forking, telling and ending the processes of the tree.

Each test plays the launcher in a process of its own: a fork belongs in one that has a single thread.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="process names and death signals are Linux's")

LAUNCHER = """
import json, os, select, signal, socket, sys, time
from pathlib import Path
from gateway.processes.children import Child
from gateway.processes.sockets import shared
from gateway.processes.start import Start
from gateway.settings import Settings

(http, rpc), other = shared([socket.socket(), socket.socket()]), socket.socket()

def start(main):
    given = Start(Settings(), 3, http, Path("reports"), Path("slabs"), "unix:///s", rpc=rpc)
    return Child("gateway-actor", main, given)

def ready(given):
    os.write(given.ready_fd, b"1")

def wait(given):
    ready(given)
    time.sleep(60)

def until_ready(child):
    select.select([child.read_end], [], [], 20)
    return child.is_ready()
"""


def lines(scene: str) -> list[str]:
    """Return what *scene*, played by a launcher, says."""
    script = LAUNCHER + textwrap.dedent(scene)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def play(scene: str) -> Any:
    """Return the last thing that *scene* says, which is JSON."""
    return json.loads(lines(scene)[-1])


def test_a_child_is_ready_when_it_says_so() -> None:
    said = play("""
        child = start(wait)
        print(json.dumps([until_ready(child), child.is_ready(), child.exit_code]))
        child.end(within_seconds=0)
    """)

    assert said == [True, True, None]


def test_a_child_that_ends_before_it_is_ready_never_was() -> None:
    said = play("""
        def fail(given):
            raise RuntimeError("planted")
        child = start(fail)
        was = until_ready(child)
        child.end(within_seconds=20)
        print(json.dumps([was, child.exit_code]))
    """)

    assert said == [False, 1]


def test_a_child_that_was_ready_stays_so_after_its_end() -> None:
    said = play("""
        child = start(ready)
        was = until_ready(child)
        child.end(within_seconds=20)
        child.end(within_seconds=20)
        print(json.dumps([was, child.is_ready(), child.exit_code]))
    """)

    assert said == [True, True, 0]


def test_a_child_holds_its_own_sockets_and_nothing_else_of_the_launcher() -> None:
    said = play("""
        def look(given):
            Path("/dev/stdout").write_text(json.dumps({
                "own": sorted(each.fileno() for each in (*given.entrance.sockets(), *given.rpc.sockets())),
                "other": other.fileno(), "slot": given.slot,
                "open": sorted(int(n) for n in os.listdir("/proc/self/fd") if Path(f"/proc/self/fd/{n}").is_socket()),
                "name": Path("/proc/self/comm").read_text().strip(),
            }) + chr(10))
        start(look).end(within_seconds=20)
    """)

    assert said["open"] == said["own"]
    assert len(said["own"]) == 6, "two that listen, and both ends of each one's queue"
    assert said["other"] not in said["own"]
    assert (said["slot"], said["name"]) == (3, "gateway-actor")


def test_a_child_that_is_told_to_stop_does_whatever_the_launcher_made_of_the_signal() -> None:
    said = play("""
        signal.signal(signal.SIGTERM, lambda *_: None)
        child = start(wait)
        until_ready(child)
        child.tell(signal.SIGTERM)
        child.end(within_seconds=20)
        print(json.dumps(child.exit_code))
    """)

    assert said == -signal.SIGTERM


def test_a_child_that_does_not_listen_is_killed_when_its_time_is_over() -> None:
    said = play("""
        def deaf(given):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            wait(given)
        child = start(deaf)
        until_ready(child)
        child.tell(signal.SIGTERM)
        child.end(within_seconds=0.2)
        print(json.dumps(child.exit_code))
    """)

    assert said == -signal.SIGKILL


def test_a_child_that_has_ended_can_be_told_anything() -> None:
    said = play("""
        child = start(ready)
        child.end(within_seconds=20)
        child.tell(signal.SIGTERM)
        print(json.dumps(child.exit_code))
    """)

    assert said == 0


def test_children_draw_different_random_numbers() -> None:
    drawn = lines("""
        import random
        random.seed(7)
        def draw(given):
            Path("/dev/stdout").write_text(json.dumps(random.getrandbits(64)) + chr(10))
        for _ in range(2):
            start(draw).end(within_seconds=20)
    """)

    assert len(set(drawn)) == 2


def test_preloading_starts_no_thread_and_switches_the_runtime_s_telemetry_off() -> None:
    said = play("""
        from gateway.processes.preloading import preload
        preload(grpc=True)
        print(json.dumps([os.listdir("/proc/self/task") == [str(os.getpid())], os.environ["ORT_DISABLE_TELEMETRY"]]))
    """)

    assert said == [True, "1"]


def test_preloading_leaves_grpc_alone_where_its_door_is_closed() -> None:
    said = play("""
        from gateway.processes.preloading import preload
        preload(grpc=False)
        print(json.dumps([name for name in sys.modules if name == "hpack" or name.startswith("gateway.rpc")]))
    """)

    assert said == []


def test_a_child_does_not_outlive_a_launcher_that_was_killed() -> None:
    scene = textwrap.dedent("""
        child = start(wait)
        until_ready(child)
        print(child.pid, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", LAUNCHER + scene], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        child = os.pidfd_open(int(launcher.stdout.readline()))

        launcher.kill()
        ended, _, _ = select.select([child], [], [], 20)

        os.close(child)
        assert ended
