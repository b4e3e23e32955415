"""Hosts that are network namespaces: each with a cable to the front, where callers are, and one to the store.

Everything lies in namespaces named after this process, also the switch between them. A guard, a process that waits for
the end of this one however it comes, kills what runs in them and removes them; links go with their namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SWITCH: Final = "switch"
PROGRAMS: Final = ("ip", "unshare", "haproxy")

GUARD: Final = """
read -r _
for space in "$@"; do
  while pids=$(ip netns pids "$space" 2>/dev/null) && [ -n "$pids" ]; do kill -KILL $pids; sleep 0.05; done
  ip netns del "$space" 2>/dev/null
done
"""
"""Its input is a pipe that only this process can write to: what ends the reading is the end of this process."""

GUARD_SECONDS: Final = 20.0


def why_not() -> str:
    """Return why there can be no fleet on this machine, empty where there can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)}; scripts/programs installs what it may"
    probe = f"gw{os.getpid()}-probe"
    tried = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no network namespace may be made here, which takes root: {tried.stderr.strip()}"
    _ip("netns", "del", probe)
    return ""


class Network:
    """A switch with two bridges, *front* and *back*, and a namespace for each of *hosts*, wired to both.

    Addresses are of 198.18.0.0/15, which RFC 2544 keeps for tests. This process reaches the front, and never the back.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        self._front = f"198.18.{os.getpid() % 254}"
        self._back = f"198.19.{os.getpid() % 254}"
        self._spaces = {name: f"gw{os.getpid()}-{name}" for name in (SWITCH, *hosts)}
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", *self._spaces.values()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.balancer = f"{self._front}.2"
        self.store = f"{self._back}.2"
        self.addresses = {name: f"{self._front}.{number}" for number, name in enumerate(hosts, 11)}

    def build(self) -> None:
        """Make the namespaces and every link between them. Raises CalledProcessError with what ``ip`` said."""
        switch = self._spaces[SWITCH]
        for space in self._spaces.values():
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
        for bridge, address in (("front", self.balancer), ("back", self.store)):
            _ip("-n", switch, "link", "add", bridge, "type", "bridge")
            _ip("-n", switch, "addr", "add", f"{address}/24", "dev", bridge)
            _ip("-n", switch, "link", "set", bridge, "up")
        for name, address in self.addresses.items():
            self._wire(name, "front", address)
            self._wire(name, "back", f"{self._back}.{address.rpartition('.')[2]}")
        ours = f"gw{os.getpid()}"
        _ip("link", "add", ours, "type", "veth", "peer", "name", "callers", "netns", switch)
        _ip("-n", switch, "link", "set", "callers", "master", "front", "up")
        _ip("addr", "add", f"{self._front}.1/24", "dev", ours)
        _ip("link", "set", ours, "up")

    def inside(self, name: str) -> list[str]:
        """Return what a command line begins with to be run as host *name*, under a host name of its own."""
        named = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name)
        return ["ip", "netns", "exec", self._spaces[name], *named]

    def cut(self, name: str) -> None:
        """Pull the cable between a host and the store: what is sent is lost, and nobody is told."""
        _ip("-n", self._spaces[SWITCH], "link", "set", f"back-{name}", "down")

    def mend(self, name: str) -> None:
        """Put that cable back."""
        _ip("-n", self._spaces[SWITCH], "link", "set", f"back-{name}", "up")

    def close(self) -> None:
        """Have the guard remove everything, and fail when a namespace is left."""
        self._guard.communicate(timeout=GUARD_SECONDS)
        left = set(self._spaces.values()) & {line.split()[0] for line in _ip("netns", "list").splitlines() if line}
        assert not left, f"namespaces are left: {sorted(left)}; remove them with `ip netns del`"

    def _wire(self, name: str, bridge: str, address: str) -> None:
        switch, space, plug = self._spaces[SWITCH], self._spaces[name], f"{bridge}-{name}"
        _ip("-n", switch, "link", "add", plug, "type", "veth", "peer", "name", bridge, "netns", space)
        _ip("-n", switch, "link", "set", plug, "master", bridge, "up")
        _ip("-n", space, "addr", "add", f"{address}/24", "dev", bridge)
        _ip("-n", space, "link", "set", bridge, "up")


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert not done.returncode, f"`ip {' '.join(words)}` said: {done.stderr.strip()}"
    return done.stdout
