"""One kind of load on several servers in turns, so that what the machine does meanwhile meets them all alike."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from load_tests.measure import Measurement, median, paired_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from load_tests.servers import Server

WARM_UP_SECONDS: Final = 2


class Loader(Protocol):
    """What makes load: `Load` or `GrpcLoad`."""

    def on(self, server: Server, connections: int, seconds: int) -> Measurement:
        """Load *server* and return what was measured."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A server, what loads it, and over how many connections."""

    server: Server
    load: Loader
    connections: int

    def measure(self, seconds: int) -> Measurement:
        """Load the server for so many *seconds*."""
        return self.load.on(self.server, self.connections, seconds)


@dataclass(frozen=True, slots=True)
class Series:
    """The measurements of one load by server, each in the order of the rounds."""

    title: str
    rounds: Mapping[str, Sequence[Measurement]]

    def ratio(self, mine: str, theirs: str, member: str) -> float:
        """Return the median of *mine* / *theirs*, each pair of one round."""
        return paired_ratio(self.rounds[mine], self.rounds[theirs], member)

    def median(self, server: str, member: str) -> float:
        """Return the median of one member over the rounds."""
        return median(self.rounds[server], member)

    def errors(self, server: str) -> int:
        """Return how many requests failed."""
        return sum(each.errors for each in self.rounds[server])


def warm(subjects: Sequence[Subject]) -> None:
    """Load each of *subjects* once, and forget it."""
    for subject in subjects:
        subject.measure(WARM_UP_SECONDS)


def in_turns(title: str, subjects: Sequence[Subject], seconds: int, rounds: int) -> Series:
    """Load *subjects* one after the other, *rounds* times, every other round in the opposite order."""
    found: dict[str, list[Measurement]] = {subject.server.name: [] for subject in subjects}
    for number in range(rounds):
        print(f"{title}: round {number + 1} of {rounds}", file=sys.stderr)
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            found[subject.server.name].append(subject.measure(seconds))
    return Series(title, found)
