"""The servers of the ladder, started on one core, seen to answer what they should, and loaded in turns."""

from __future__ import annotations

import http.client
import json
import math
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from load_tests import ourselves, reference, servers, work
from load_tests.measure import Measurement
from load_tests.results import GATEWAY, REFERENCE
from load_tests.steps.server import PARSER, STATISTICS
from load_tests.steps.step import Step
from load_tests.turns import Subject, in_turns, warm

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager, ExitStack

    from load_tests.measure import Load
    from load_tests.plan import Plan
    from load_tests.servers import Server
    from load_tests.turns import Series

CONNECTIONS: Final = 64
CURVE: Final = (8, 16, 64, 256)
"""Connections, and so how many requests may share a run."""

NAMES: Final = {step: GATEWAY if step is Step.GATEWAY else step.key for step in Step}
"""What the server of a step is called."""

FLAGS: Final = {Step.PROCESSES: ("--feedback-ttl", "0"), Step.GATEWAY: ("--limits", "feedback=1")}
"""Ten answers are remembered per second by default, busy or not. In a dozen turns that would be a hundred per second of
load, and each costs more than a request."""

ROUTES: Final = {
    "one version": ourselves.PLAIN_ROUTE,
    "three versions": {**ourselves.PLAIN_ROUTE, "split": ourselves.FULL_ROUTE["split"]},
    "three versions and five rules": ourselves.FULL_ROUTE,
}


@dataclass(frozen=True, slots=True)
class Stepped(Measurement):
    """A closed loop, and how many rows its runs had on average; not a number where nothing is run."""

    rows_per_run: float = math.nan


@dataclass(frozen=True, slots=True)
class Asking:
    """A load that asks the server for its runs before and after."""

    load: Load

    def on(self, server: Server, connections: int, seconds: int) -> Stepped:
        """Load the server and return what was measured. Raises NotMeasurable."""
        before = _counted(server.port)
        found = self.load.on(server, connections, seconds)
        rows, runs = (now - then for now, then in zip(_counted(server.port), before, strict=True))
        return Stepped(**asdict(found), rows_per_run=rows / runs if runs else math.nan)


def climb(plan: Plan, stack: ExitStack, steps: Iterable[Step]) -> list[Server]:
    """Start the server of each of *steps*, then those beside them, for as long as *stack* is open.

    Raises NotMeasurable where one does not answer what it should.
    """
    found = []
    for step in steps:
        server = stack.enter_context(_of(plan, step))
        check(server, step)
        found.append(server)
    found.append(stack.enter_context(_started(plan, PARSER)))
    port = servers.free_port()
    log = plan.directory / "reference.log"
    command = servers.reference_command(port)
    found.append(stack.enter_context(servers.running(REFERENCE, command, port, plan.cores[:1], log)))
    return found


def check(server: Server, step: Step) -> None:
    """See that *server* answers as one of *step* does. Raises NotMeasurable."""
    if step.answers:
        work.check(server.port, server.name)
        return
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", work.PATH, work.items()[0].body, {"content-type": "application/json"})
        text = connection.getresponse().read()
    finally:
        connection.close()
    if text != reference.ANSWER:
        raise work.NotMeasurable(f"{server.name} must answer the constant, nothing is timed: {text[:300]!r}")


def loaded(plan: Plan, title: str, found: Sequence[Server], connections: int, users: int = 0) -> Series:
    """Load each server in turns over so many *connections*, and return what was measured."""
    load = Asking(plan.row(users))
    subjects = [Subject(server, load, connections) for server in found]
    warm(subjects)
    return in_turns(title, subjects, plan.seconds, plan.rounds)


def by_versions(plan: Plan, stack: ExitStack) -> list[Server]:
    """Start a gateway with each of ROUTES, over three versions that are copies of one file."""
    models = ourselves.copies(plan.directory / "copies")
    found = []
    for number, (name, route) in enumerate(ROUTES.items()):
        server = stack.enter_context(plan.gateway(name, f"route-{number}", models=models, route=json.dumps(route)))
        work.check(server.port, name)
        found.append(server)
    return found


def _of(plan: Plan, step: Step) -> AbstractContextManager[Server]:
    if not step.is_whole:
        return _started(plan, step.key)
    return plan.gateway(NAMES[step], step.key, flags=FLAGS[step])


def _started(plan: Plan, key: str) -> AbstractContextManager[Server]:
    port = servers.free_port()
    command = [sys.executable, "-m", "load_tests.steps.server", key, "--port", str(port)]
    return servers.running(key, command, port, plan.cores[:1], plan.directory / f"{key}.log")


def _counted(port: int) -> tuple[int, int]:
    """Return how many rows and runs the server at *port* counted so far; none where it runs nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", STATISTICS)
        told: Mapping[str, Sequence[Mapping[str, int]]] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    versions = told.get("model_stats", ())
    return sum(each["inference_count"] for each in versions), sum(each["execution_count"] for each in versions)
