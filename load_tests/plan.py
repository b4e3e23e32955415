"""What a run of the benchmark was asked for, and the cores it may use."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from load_tests import servers
from load_tests.measure import Load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from load_tests.servers import Server
    from load_tests.verdicts import Promise


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: *rounds* loads of so many *seconds* on each server, for the promises whose keys are *wanted*.

    mlserver, pytriton: interpreters of environments with that peer, or None.
    directory: everything that is written goes there.
    """

    wanted: frozenset[str]
    seconds: int
    rounds: int
    mlserver: str | None
    pytriton: str | None
    directory: Path
    cores: tuple[int, int]
    """For the servers, and for the load."""

    def wants(self, *promises: Promise) -> bool:
        """Say whether any of *promises* is to be measured."""
        return any(promise.key in self.wanted for promise in promises)

    @property
    def body(self) -> Path:
        """Return the file with the benchmark's row as a request, which is written when the run begins."""
        return self.directory / "row.json"

    def row(self, users: int = 0) -> Load:
        """Return the load of the benchmark's row, of so many *users* in turns."""
        return Load.of(self.body, self.cores[1:], users=users)

    def gateway(
        self, name: str, place: str, *, workers: int = 1, cores: Sequence[int] | None = None, **asked: Any
    ) -> AbstractContextManager[Server]:
        """Return a gateway that runs while the context is entered, on the servers' core or on *cores*.

        place: the folder of its state. asked: what else `servers.gateway_command` takes.
        """
        port = servers.free_port()
        directory = self.directory / place
        command = servers.gateway_command(port, workers, directory, **asked)
        return servers.running(name, command, port, cores or self.cores[:1], directory.with_suffix(".log"))


def one_or_more(number: str) -> int:
    """Return *number* from a command line. Raises what says there that it is none, or too small."""
    if (value := int(number)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def two_cores() -> tuple[int, int]:
    """Return a core for the servers and one for the load; the same twice, with a warning, where there is only one."""
    cores = every_core()
    if len(cores) == 1:
        print("only one core: servers and load share it, so trust none of this", file=sys.stderr)
    return cores[0], cores[-1]


def every_core() -> tuple[int, ...]:
    """Return the cores on which this process may run."""
    return tuple(sorted(os.sched_getaffinity(0)))


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this thread, and what it starts meanwhile, on *core*."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
