"""Counts are exact across processes, and survive a worker that is killed in the middle of one."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from gateway.core.outcomes import OK
from gateway.telemetry.layout import Layout
from gateway.telemetry.series import Ledger
from gateway.telemetry.slab import SlabDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.telemetry.views import BlockView

    Worker = subprocess.Popen[str]

LAYOUT = Layout()
BATCH = 100

WORKER = """
import sys
from pathlib import Path
from gateway.telemetry.slab import SlabDirectory

cells = SlabDirectory(Path(sys.argv[1])).acquire().version("fraud", "1")
batches = int(sys.argv[2])
for done in range(batches):
    print(done * 100, flush=True)
    for _ in range(100):
        cells.answered(0, 0.001)
print(batches * 100, "finished", flush=True)
sys.stdin.read()
"""


def start(directory: Path, *, batches: int) -> Worker:
    command = [sys.executable, "-c", WORKER, str(directory), str(batches)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


ANNOUNCED: dict[int, str] = {}
"""What each worker was heard to say last."""


def said_until(worker: Worker, last: str) -> str:
    assert worker.stdout is not None
    line = ANNOUNCED[worker.pid] = next(line for line in worker.stdout if last in line.split())
    return line


def kill(worker: Worker) -> int:
    """Kill *worker* and return the last count that it announced."""
    assert worker.stdout is not None
    worker.kill()
    said = [ANNOUNCED.get(worker.pid, "0"), *worker.stdout.read().splitlines()]  # its buffer first, then the pipe
    worker.communicate()
    return int(said[-1].split()[0])


def finish(*workers: Worker) -> None:
    for worker in workers:
        worker.communicate("")


def blocks(directory: Path) -> dict[str, BlockView]:
    return {slab.gauges.slab: slab.blocks[0] for slab in SlabDirectory(directory).read().slabs}


def test_two_processes_one_killed_and_replaced_count_exactly(tmp_path: Path) -> None:
    doomed = start(tmp_path, batches=1_000_000)
    said_until(doomed, "1000")
    [its_slab] = blocks(tmp_path)
    steady = start(tmp_path, batches=50)
    said_until(steady, "finished")

    announced = kill(doomed)
    left = blocks(tmp_path)[its_slab]
    heir = start(tmp_path, batches=30)
    said_until(heir, "finished")

    after = blocks(tmp_path)
    finish(steady, heir)
    assert announced <= left.counts[OK] <= announced + BATCH
    assert 0 <= left.counts[OK] - sum(left.counts[LAYOUT.request][:-1]) <= 1
    assert after.pop(its_slab).counts[OK] == left.counts[OK] + 30 * BATCH
    assert [block.counts[OK] for block in after.values()] == [50 * BATCH]


def test_a_counter_never_falls_while_workers_are_killed_and_replaced(tmp_path: Path) -> None:
    slabs, ledger = SlabDirectory(tmp_path), Ledger(time.monotonic())
    seen: list[float] = []

    for _ in range(5):
        worker = start(tmp_path, batches=1_000_000)
        said_until(worker, "500")
        for look in ("while it counts", "once it is dead"):
            if look == "once it is dead":
                kill(worker)
            snapshot = ledger.take(slabs.read(), time.monotonic())
            seen.append(snapshot.counts["fraud", "1"][OK])

    assert seen == sorted(seen)
    assert seen[-1] >= 5 * 500
    assert len(blocks(tmp_path)) == 1


def test_a_killed_worker_is_not_live_as_soon_as_it_is_gone(tmp_path: Path) -> None:
    worker = start(tmp_path, batches=1_000_000)
    said_until(worker, "100")
    before = [gauges.live for gauges in SlabDirectory(tmp_path).gauges()]

    kill(worker)

    assert before == [True]
    assert [gauges.live for gauges in SlabDirectory(tmp_path).gauges()] == [False]
