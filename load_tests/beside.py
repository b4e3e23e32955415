"""The gateway beside the constant answer and beside its peers: rows as JSON, images in binary, rows over gRPC.

All servers run on one core, and the load on another; one of them is loaded at a time. What the others use while
nobody calls is measured and printed, since it is charged to the one that is loaded.
"""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import uvloop

from load_tests import generator, images, open_loop, peers, servers, work
from load_tests.measure import GrpcLoad
from load_tests.plan import pinned
from load_tests.results import CURVE, GATEWAY, REFERENCE, Point
from load_tests.turns import Subject, in_turns, warm
from load_tests.verdicts import CPU, GRPC, IMAGE, MLSERVER, P50, PYTRITON, RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from load_tests.plan import Plan
    from load_tests.results import Results
    from load_tests.servers import Server

PROMISED: Final = (RATE, CPU, MLSERVER, PYTRITON, P50, IMAGE, GRPC)
NEED: Final = {peers.MLSERVER: (MLSERVER, P50, GRPC), peers.PYTRITON: (PYTRITON, IMAGE)}
CONNECTIONS: Final = 64
IMAGE_CONNECTIONS: Final = 16
IDLE_SECONDS: Final = 2.0
RATES: Final = (250, 500, 1000, 2000, 4000)
CURVE_SECONDS: Final = 2.0
LATE_MS: Final = 250.0
"""A p99 beyond this says that a server is behind; higher rates say nothing more, and take long."""


def measure(plan: Plan, results: Results) -> None:
    """Start what is needed, and make every load that is wanted. Raises NotMeasurable where the gateway is at fault."""
    models = plan.directory / "models"
    shutil.copytree(work.MODELS, models)
    images.add(models)
    grpc_port = servers.free_port()
    with ExitStack() as stack:
        gateway = stack.enter_context(plan.gateway(GATEWAY, "beside", models=models, grpc_port=grpc_port))
        work.check(gateway.port)
        running = {GATEWAY: gateway, **_others(plan, results, models, stack)}
        _rows(plan, results, running)
        if plan.wants(IMAGE) and peers.PYTRITON in running:
            _images(plan, results, gateway, running[peers.PYTRITON], images.file_in(models))
        if plan.wants(GRPC) and peers.MLSERVER in running:
            _grpc(plan, results, gateway, grpc_port, running[peers.MLSERVER])
        if CURVE in plan.wanted:
            _curve(plan, results, [server for server in running.values() if server.name != REFERENCE])


def _others(plan: Plan, results: Results, models: Path, stack: ExitStack) -> dict[str, Server]:
    """Start the constant answer and those peers that are named and needed; one that fails is noted and left out."""
    found = {}
    if plan.wants(RATE, CPU):
        port = servers.free_port()
        command = servers.reference_command(port)
        log = plan.directory / "reference.log"
        found[REFERENCE] = stack.enter_context(servers.running(REFERENCE, command, port, plan.cores[:1], log))
    for name, python, start in (
        (peers.MLSERVER, plan.mlserver, peers.mlserver), (peers.PYTRITON, plan.pytriton, peers.pytriton),
    ):  # fmt: skip
        if not plan.wants(*NEED[name]):
            continue
        if python is None:
            results.not_measured(NEED[name], f"--{name.lower()} PYTHON was not given")
            continue
        try:
            found[name] = stack.enter_context(start(plan, python, models))
            work.check(found[name].port, name, labelled=False)
        except work.FAILURES as exc:
            found.pop(name, None)
            results.fail(NEED[name], exc)
    return found


def _rows(plan: Plan, results: Results, running: Mapping[str, Server]) -> None:
    left_out = {name for name, promise in ((peers.MLSERVER, MLSERVER), (peers.PYTRITON, PYTRITON))
                if not plan.wants(promise)}  # fmt: skip
    subjects = [Subject(server, plan.row(), CONNECTIONS) for name, server in running.items() if name not in left_out]
    warm(subjects)
    for server in running.values():
        results.weigh(server, _idle_cpu_share(server))
    if plan.wants(RATE, CPU, MLSERVER, PYTRITON):
        title = f"rows as JSON, {CONNECTIONS} connections"
        many = in_turns(title, subjects, plan.seconds, plan.rounds)
        results.series.append(many)
        results.judge(RATE, many, GATEWAY, REFERENCE, "requests_per_second")
        results.judge(CPU, many, GATEWAY, REFERENCE, "cpu_us")
        results.judge(MLSERVER, many, GATEWAY, peers.MLSERVER, "requests_per_second")
        results.judge(PYTRITON, many, GATEWAY, peers.PYTRITON, "requests_per_second")
    if plan.wants(P50):
        quick = [Subject(server, plan.row(), 1) for name, server in running.items() if name != peers.PYTRITON]
        one = in_turns("rows as JSON, 1 connection", quick, plan.seconds, plan.rounds)
        results.series.append(one)
        results.judge(P50, one, GATEWAY, peers.MLSERVER, "p50_ms")


def _idle_cpu_share(server: Server) -> float:
    """Return what *server* uses of a core while nobody calls."""
    before, began = server.cpu_seconds(), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    return (server.cpu_seconds() - before) / (time.perf_counter() - began)


def _images(plan: Plan, results: Results, gateway: Server, pytriton: Server, model: Path) -> None:
    try:
        image = images.load(plan.directory, plan.cores[1])
        for server in (gateway, pytriton):
            images.check(server.port, server.name, image, model)
    except work.FAILURES as exc:
        results.fail((IMAGE,), exc)
        return
    subjects = [Subject(server, image, IMAGE_CONNECTIONS) for server in (gateway, pytriton)]
    warm(subjects)
    title = f"images in binary, {IMAGE_CONNECTIONS} connections"
    found = in_turns(title, subjects, plan.seconds, plan.rounds)
    results.series.append(found)
    results.judge(IMAGE, found, GATEWAY, peers.PYTRITON, "cpu_us")


def _grpc(plan: Plan, results: Results, gateway: Server, grpc_port: int, mlserver: Server) -> None:
    ports = ((gateway, grpc_port), (mlserver, mlserver.port + 1))
    subjects = [Subject(server, GrpcLoad(plan.cores[1], work.MODEL, port), CONNECTIONS) for server, port in ports]
    warm(subjects)
    found = in_turns(f"rows over gRPC, {CONNECTIONS} calls", subjects, plan.seconds, plan.rounds)
    results.series.append(found)
    results.judge(GRPC, found, GATEWAY, peers.MLSERVER, "requests_per_second")


def _curve(plan: Plan, results: Results, subjects: Iterable[Server]) -> None:
    """Ask each of *subjects* at fixed rates, with another row each time, until it falls behind."""
    for server in subjects:
        for rate in RATES:
            print(f"rows at a fixed rate: {server.name}, {rate} a second", file=sys.stderr)
            with pinned(plan.cores[1]):
                point = at_rate(server, rate)
            results.curve.append(point)
            if point.faults or point.p99_ms > LATE_MS:
                break


def at_rate(server: Server, rate: float) -> Point:
    """Ask *server* for another row *rate* times a second, and check that every answer is its own row's."""
    items = work.items()
    requests = [generator.post(work.PATH, item.body) for item in items]
    outcome = uvloop.run(open_loop.load(server.port, rate, CURVE_SECONDS, CONNECTIONS, requests))
    outcome.check(items, labelled=server.name == GATEWAY)
    quantiles = [outcome.quantile(share) for share in (0.5, 0.99, 0.999)]
    return Point(server.name, rate, len(outcome.latencies), len(outcome.faults), *quantiles)
