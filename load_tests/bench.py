"""The gateway beside raw uvicorn with a constant answer, on the same core, in turns.

    python -m load_tests.bench [--seconds 3] [--rounds 5] [--json FILE] [--only reference|gateway]

Trust the ratios first, processor time per request next, and requests per second least: the
machine is shared and drifts, and each ratio is of two loads made one right after the other.
Nothing is timed before the gateway's answers agree with onnxruntime. A broken promise is
printed and is no error; a failed request is.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from load_tests import servers, work
from load_tests.measure import Load
from load_tests.report import GATEWAY, REFERENCE, TWO_WORKERS, Results, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from load_tests.servers import Server

CONNECTIONS: Final = (64, 1)
WARM_UP_SECONDS: Final = 2
IDLE_SECONDS: Final = 2.0
STARTS: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its table, and return 1 if any request failed or nothing could be measured."""
    chosen = _parse(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            results = run(chosen, Path(directory))
    except work.NotMeasurable as exc:
        print(exc, file=sys.stderr)
        return 1
    print(table(results))
    if chosen.json:
        chosen.json.write_text(json.dumps(results.as_dict(), indent=1) + "\n", encoding="utf-8")
    if results.errors():
        print(f"{results.errors()} requests failed", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=3, help="length of one load (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="loads per server and kind (default: %(default)s)")
    parser.add_argument("--only", choices=("gateway", "reference"), help="one of the two; no ratios then")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    return parser.parse_args(arguments)


def run(chosen: argparse.Namespace, directory: Path) -> Results:
    """Start what was *chosen*, load it in turns, stop it, then weigh two workers. Raises NotMeasurable."""
    body = directory / "body.json"
    body.write_bytes(work.items()[0].body)
    server_core, load_core = two_cores()
    load = Load.of(body, load_core)
    results = Results(load.name, (server_core, load_core))
    with ExitStack() as stack:
        started = [stack.enter_context(server) for server in _subjects(chosen.only, directory, server_core)]
        for server in started:
            if server.name == GATEWAY:
                work.check(server.port)
            load.on(server, CONNECTIONS[0], WARM_UP_SECONDS)
            _weigh(server, results)
        for connections in CONNECTIONS:
            for number in range(1, chosen.rounds + 1):
                print(f"connections: {connections}, round {number} of {chosen.rounds}", file=sys.stderr)
                results.rounds += [load.on(server, connections, chosen.seconds) for server in started]
    if chosen.only != "reference":
        _two_workers(load, directory, results)
    return results


def two_cores() -> tuple[int, int]:
    """Return a core for the servers and one for the load; the same twice, with a warning, where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        print("only one core: servers and load share it, so trust none of this", file=sys.stderr)
    return cores[0], cores[-1]


def _subjects(only: str | None, directory: Path, core: int) -> Sequence[AbstractContextManager[Server]]:
    subjects = []
    if only != "reference":
        port = servers.free_port()
        command = servers.gateway_command(port, 1, directory / "one")
        subjects.append(servers.running(GATEWAY, command, port, [core], directory / "gateway.log"))
    if only != "gateway":
        port = servers.free_port()
        command = servers.reference_command(port)
        subjects.append(servers.running(REFERENCE, command, port, [core], directory / "reference.log"))
    return subjects


def _weigh(server: Server, results: Results) -> None:
    """Note memory, time to start, and what the server uses while nobody calls: its rival's rounds pay for that."""
    before, began = server.cpu_seconds(), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    results.idle_cpu_share[server.name] = (server.cpu_seconds() - before) / (time.perf_counter() - began)
    results.pss_bytes[server.name] = server.pss_bytes()
    results.start_seconds[server.name] = server.start_seconds


def _two_workers(load: Load, directory: Path, results: Results) -> None:
    """Start the gateway on every core, a few times; note the median start, and the memory after load."""
    compileall.compile_dir(work.ROOT / "gateway", quiet=1)  # an installed gateway has its bytecode
    starts = []
    for number in range(STARTS):
        port = servers.free_port()
        command = servers.gateway_command(port, 2, directory / f"two-{number}")
        cores = sorted(os.sched_getaffinity(0))
        with servers.running(TWO_WORKERS, command, port, cores, directory / "two.log") as server:
            starts.append(server.start_seconds)
            if number == STARTS - 1:
                load.on(server, CONNECTIONS[0], WARM_UP_SECONDS)
                results.pss_bytes[TWO_WORKERS] = server.pss_bytes()
    results.start_seconds[TWO_WORKERS] = statistics.median(starts)


if __name__ == "__main__":
    sys.exit(main())
