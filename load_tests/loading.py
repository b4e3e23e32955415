"""How long callers of one version wait while another, of 500 MB, is loaded beside it in the same worker.

Rows come at a fixed rate and their latency counts from when they were due: first quietly, then from the moment the
large version's file is in the repository until it is ready. The gateway has one worker, which may use every core; the
rows come from the last one.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import uvloop
from onnx import TensorProto, helper

from load_tests import generator, open_loop, work
from load_tests.plan import every_core, pinned
from load_tests.results import GATEWAY
from load_tests.verdicts import LOADING, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from load_tests.open_loop import Outcome
    from load_tests.plan import Plan
    from load_tests.results import Results

BYTES: Final = 500_000_000
COLUMNS: Final = 30
RATE: Final = 500.0
CONNECTIONS: Final = 16
ROUNDS: Final = 3
"""At most: each starts a gateway, and loads the version."""
LARGE: Final = "2"
LONGEST_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1
WARM_UP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Waits:
    """The 99th percentiles of one round, in ms, and how long the load took."""

    quiet_p99_ms: float
    loading_p99_ms: float
    load_seconds: float


def measure(plan: Plan, results: Results) -> None:
    """Load the large version beside the small one a few times. Raises NotMeasurable."""
    directory = plan.directory / "loading"
    directory.mkdir()
    version = directory / "version"
    version.mkdir()
    (version / "model.onnx").write_bytes(large(BYTES))
    os.sync()
    rounds = [_round(plan, directory / str(number), version, results) for number in range(min(plan.rounds, ROUNDS))]
    results.findings[LOADING.key] = compared(rounds)


def compared(rounds: Sequence[Waits]) -> Finding:
    """Return the medians over *rounds* of the ratio, held to the floor, and of what is added, held to the aim."""
    ratio = statistics.median(each.loading_p99_ms / each.quiet_p99_ms for each in rounds)
    added = statistics.median(each.loading_p99_ms - each.quiet_p99_ms for each in rounds)
    quiet, loading, took = (statistics.median(getattr(each, name) for each in rounds) for name in Waits.__slots__)
    note = f"{loading:.3g} and {quiet:.3g} ms at {RATE:.0f} req/s; ready after {took:.2g} s"
    return Finding(ratio, note, added)


def large(size: int) -> bytes:
    """Return a model that adds a row of a table of *size* bytes to its input [n, COLUMNS], the row by its n."""
    rows = size // (4 * COLUMNS)
    table: Any = np.random.default_rng(3).random((rows, COLUMNS), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Shape", ["input"], ["rows"], start=0, end=1),
            helper.make_node("Gather", ["table", "rows"], ["row"]),
            helper.make_node("Add", ["input", "row"], ["output"]),
        ],
        "large",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", COLUMNS])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", COLUMNS])],
        [helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _round(plan: Plan, directory: Path, version: Path, results: Results) -> Waits:
    """Measure once; the folder *version* is moved into the repository, and back in the end."""
    print(f"a version of {BYTES / 1e6:.0f} MB: round {int(directory.name) + 1}", file=sys.stderr)
    models = directory / "models"
    small = models / work.MODEL / "1"
    small.mkdir(parents=True)
    (small / "model.onnx").write_bytes((work.MODELS / work.MODEL / "1" / "model.onnx").read_bytes())
    place = f"loading/{directory.name}/gateway"
    with plan.gateway(GATEWAY, place, cores=every_core(), models=models) as server, pinned(plan.cores[1]):
        work.check(server.port)
        _rows(server.port, WARM_UP_SECONDS)
        arrival = Arrival(server.port, version, models / work.MODEL / LARGE, plan.seconds)
        arrival.start()
        outcome = _rows(server.port, plan.seconds + LONGEST_SECONDS, arrival.ended)
        arrival.join()
    if not arrival.ready_at:
        raise work.NotMeasurable(f"the version of {BYTES / 1e6:.0f} MB is not ready: {arrival.fault}")
    (models / work.MODEL / LARGE).rename(version)
    results.faults += outcome.faults[:5]
    quiet = outcome.quantile(0.99, until=arrival.put_at)
    loading = outcome.quantile(0.99, arrival.put_at, arrival.ready_at)
    return Waits(quiet, loading, arrival.ready_at - arrival.put_at)


def _rows(port: int, seconds: float, ended: threading.Event | None = None) -> Outcome:
    items = work.items()
    requests = [generator.post(work.PATH, item.body) for item in items]
    outcome = uvloop.run(open_loop.load(port, RATE, seconds, CONNECTIONS, requests, ended))
    outcome.check(items)
    return outcome


class Arrival(threading.Thread):
    """Moves the large version to its *place* in the repository after *quiet* seconds, and waits until it is ready.

    It asks for the state all the time, so that this too is the same before and during the load.
    """

    def __init__(self, port: int, version: Path, place: Path, quiet: float) -> None:
        super().__init__()
        self._port, self._version, self._place, self._quiet = port, version, place, quiet
        self.put_at = 0.0
        self.ready_at = 0.0
        """Both by `time.perf_counter`; 0 where it did not come to that."""
        self.fault = ""
        self.ended = threading.Event()

    def run(self) -> None:
        """Do it."""
        try:
            self._load()
        except (OSError, http.client.HTTPException, ValueError) as exc:
            self.fault = str(exc)
        finally:
            self.ended.set()

    def _load(self) -> None:
        began = time.perf_counter()
        while (now := time.perf_counter()) < began + self._quiet + LONGEST_SECONDS:
            state = state_of(self._port)
            if self.put_at and state["state"] == "READY":
                self.ready_at = time.perf_counter()
                return
            self.fault = f"{state['state']} {state.get('reason', '')} after {LONGEST_SECONDS:.0f} s"
            if not self.put_at and now > began + self._quiet:
                self._version.rename(self._place)
                self.put_at = time.perf_counter()
            time.sleep(POLL_SECONDS)


def state_of(port: int) -> dict[str, str]:
    """Return what the repository's index says of the large version. Raises OSError and ValueError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/v2/repository/index", b"{}", {"content-type": "application/json"})
        rows = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return next((row for row in rows if (row["name"], row["version"]) == (work.MODEL, LARGE)), {"state": "unknown"})
