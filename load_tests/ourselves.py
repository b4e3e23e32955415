"""The gateway beside itself: one worker and two, a plain route and a full one, one model and many, and its weight."""

from __future__ import annotations

import json
import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from load_tests import many, work
from load_tests.measure import Load
from load_tests.plan import every_core
from load_tests.results import GATEWAY
from load_tests.servers import SETTLED_SECONDS
from load_tests.turns import Series, Subject, in_turns, warm
from load_tests.verdicts import MANY, MEMORY, ROUTED, START, WORKERS, Finding

if TYPE_CHECKING:
    from pathlib import Path

    from load_tests.plan import Plan
    from load_tests.results import Results

CONNECTIONS: Final = 64
"""Of each worker."""
STARTS: Final = 3
USERS: Final = 1000
ONE_WORKER: Final = f"{GATEWAY}, 1 worker"
TWO_WORKERS: Final = f"{GATEWAY}, 2 workers"
PLAIN: Final = "one version"
FULL: Final = "three versions"
ONE_MODEL: Final = "1 model"
MANY_MODELS: Final = "200 models more"
MANY_ROUNDS: Final = 3
"""At most: each begins with 601 versions to load."""
VERSIONS: Final = ("1", "2", "3")

PLAIN_ROUTE: Final[dict[str, Any]] = {
    "model": work.MODEL, "split": {"1": 100}, "assign": {"by": "header:x-user-id"}, "baseline": "1",
}  # fmt: skip
FULL_ROUTE: Final[dict[str, Any]] = {
    **PLAIN_ROUTE,
    "split": {"1": 60, "2": 30, "3": 10},
    "rules": [{"when": {"header:x-tenant": [f"tenant-{at}", f"group-{at}-*"]}, "split": {"2": 100}} for at in range(5)],
    "shadow": {"3": 0},
}
"""The rules are all looked at, since none matches. JSON is YAML too."""


def weigh(plan: Plan, results: Results) -> None:
    """Start two workers on every core, a few times; note the median start, and the memory after load."""
    starts = []
    for number in range(STARTS):
        with plan.gateway(TWO_WORKERS, f"weighed-{number}", workers=2, cores=every_core()) as server:
            starts.append(server.start_seconds)
            if number == STARTS - 1:
                warm([Subject(server, plan.row(), CONNECTIONS)])
                time.sleep(SETTLED_SECONDS)
                results.weigh(server)
    memory = results.resources[TWO_WORKERS].pss_bytes / 2**20
    results.findings[MEMORY.key] = Finding(memory, "after load, settled")
    results.findings[START.key] = Finding(statistics.median(starts), f"median of {STARTS} starts, no state before")


def workers(plan: Plan, results: Results) -> None:
    """Load one worker on one core and two on two, with as many connections for each worker.

    With a third core for the load, requests per second are compared. With two there is none, so every core carries
    a worker and its part of the load, with one worker as with two; what the load takes would hide what the workers
    lose, so what they do in a second of their own processor time is compared: 2 × CPU of one / CPU of two.
    """
    cores = every_core()
    if len(cores) == 1:
        results.not_measured((WORKERS,), "there is one core only")
        return
    has_room = len(cores) > 2
    with ExitStack() as stack:
        subjects = []
        for count, name in ((1, ONE_WORKER), (2, TWO_WORKERS)):
            server = stack.enter_context(plan.gateway(name, f"workers-{count}", workers=count, cores=cores[:count]))
            work.check(server.port)
            load_cores = cores[-1:] if has_room else cores[:count]
            subjects.append(Subject(server, Load.of(plan.body, load_cores), CONNECTIONS * count))
        warm(subjects)
        series = in_turns("one worker and two", subjects, plan.seconds, plan.rounds)
    results.series.append(series)
    results.findings[WORKERS.key] = scaling(series, has_room=has_room)


def scaling(series: Series, *, has_room: bool) -> Finding:
    """Return how many times the work of one worker two do; *has_room*: the load had a core of its own."""
    rate = series.ratio(TWO_WORKERS, ONE_WORKER, "requests_per_second")
    if has_room:
        return Finding(rate, "req/s, the load on a third core")
    by_cpu = 2 * series.ratio(ONE_WORKER, TWO_WORKERS, "cpu_us")
    return Finding(by_cpu, f"2 × CPU per request, 1 : 2 workers; req/s {rate:.3g} with the load on the same cores")


def routed(plan: Plan, results: Results) -> None:
    """Load the same three versions, copies of one file, by a route to one of them and by one to all, as many users."""
    models = copies(plan.directory / "copies")
    load = plan.row(USERS)
    with ExitStack() as stack:
        subjects = []
        for name, place, route in ((PLAIN, "plain", PLAIN_ROUTE), (FULL, "full", FULL_ROUTE)):
            server = stack.enter_context(plan.gateway(name, place, models=models, route=json.dumps(route)))
            work.check(server.port)
            subjects.append(Subject(server, load, CONNECTIONS))
        warm(subjects)
        series = in_turns("one version and three", subjects, plan.seconds, plan.rounds)
    results.series.append(series)
    results.judge(ROUTED, series, FULL, PLAIN, "requests_per_second")


def copies(models: Path) -> Path:
    """Make a repository of three versions with the same content."""
    content = (work.MODELS / work.MODEL / "1" / "model.onnx").read_bytes()
    for version in VERSIONS:
        place = models / work.MODEL / version
        place.mkdir(parents=True)
        (place / "model.onnx").write_bytes(content)
    return models


def crowded(plan: Plan, results: Results) -> None:
    """Load one model alone, and with 200 of three versions beside it; only one of the gateways runs at a time."""
    directory = plan.directory / "many"
    directory.mkdir()
    rounds = min(plan.rounds, MANY_ROUNDS)
    found = many.Found()
    many.measure(directory, found, models=200, versions=3, changes=0, seconds=plan.seconds, rounds=rounds)
    series = Series("one model and many", {ONE_MODEL: found.alone, MANY_MODELS: found.beside})
    results.series.append(series)
    results.judge(MANY, series, MANY_MODELS, ONE_MODEL, "requests_per_second")
