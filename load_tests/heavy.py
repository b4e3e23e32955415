"""How long callers of a quick model wait while a heavy one runs at full load beside it, in the same worker.

    python -m load_tests.heavy [--rate 200] [--seconds 5] [--images 8] [--connections 4]

The quick model is the benchmark's, asked for at a fixed rate with another row each time; latency counts from when a
request was due, and every answer is checked. The heavy one is the convolution of ``load_tests.images``: each of its
connections sends so many images in binary again as soon as it is answered, and what queues meanwhile shares a run. One
worker, which may use every core; the loads come from the last one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from load_tests import generator, images, open_loop, servers, work
from load_tests.plan import two_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from load_tests.measure import Load, Measurement
    from load_tests.open_loop import Outcome
    from load_tests.servers import Server


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where an answer was missing or wrong, or nothing could be measured."""
    chosen = _parse(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="heavy-") as directory:
            quiet, beside, heavy = measure(chosen, Path(directory))
    except work.NotMeasurable as exc:
        print(exc, file=sys.stderr)
        return 1
    for title, outcome in (("alone", quiet), ("beside the heavy one", beside)):
        p50, p99, p999 = (outcome.quantile(share) for share in (0.5, 0.99, 0.999))
        count = f"{len(outcome.latencies)} answered, {len(outcome.faults)} faults"
        print(f"quick, {title}: {count}, p50 {p50:.2f} ms, p99 {p99:.2f} ms, p99.9 {p999:.2f} ms since due")
    images = heavy.requests_per_second * chosen.images
    print(f"heavy: {images:.0f} images/s, p50 {heavy.p50_ms:.1f} ms, p99 {heavy.p99_ms:.1f} ms, {heavy.errors} errors")
    for fault in (quiet.faults + beside.faults)[:5]:
        print(fault, file=sys.stderr)
    return 1 if quiet.faults or beside.faults or heavy.errors else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load_tests.heavy", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=5, help="length of each load (default: %(default)s)")
    parser.add_argument("--images", type=int, default=8, help="images in one request (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=4, help="that send images (default: %(default)s)")
    return parser.parse_args(arguments)


def measure(chosen: argparse.Namespace, directory: Path) -> tuple[Outcome, Outcome, Measurement]:
    """Return what callers of the quick model saw alone and beside the heavy one, and what the heavy one did."""
    first, last = two_cores()
    models = repository(directory / "models")
    load = images.load(directory, last, chosen.images)
    port = servers.free_port()
    command = servers.gateway_command(port, 1, directory / "gateway", models=models)
    with servers.running("gateway", command, port, range(first, last + 1), directory / "gateway.log") as server:
        work.check(port)
        load.on(server, chosen.connections, 1)
        quiet = _quick(port, chosen)
        heavy: list[Measurement] = []
        thread = threading.Thread(target=_keep_busy, args=(load, server, chosen, heavy))
        thread.start()
        beside = _quick(port, chosen)
        thread.join()
    if not heavy:
        raise work.NotMeasurable("the load of images printed no result")
    return quiet, beside, heavy[0]


def _keep_busy(load: Load, server: Server, chosen: argparse.Namespace, found: list[Measurement]) -> None:
    found.append(load.on(server, chosen.connections, chosen.seconds + 1))


def _quick(port: int, chosen: argparse.Namespace) -> Outcome:
    items = work.items()
    requests = [generator.post(work.PINNED_PATH, item.body) for item in items]
    outcome = uvloop.run(open_loop.load(port, chosen.rate, chosen.seconds, 16, requests))
    outcome.check(items)
    return outcome


def repository(models: Path) -> Path:
    """Make a repository of the row's model and the image's."""
    row = models / work.MODEL / "1"
    row.mkdir(parents=True)
    (row / "model.onnx").write_bytes((work.MODELS / work.MODEL / "1" / "model.onnx").read_bytes())
    images.add(models)
    return models


if __name__ == "__main__":
    sys.exit(main())
