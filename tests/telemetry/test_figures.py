"""The counters of all workers, summed per version for the statistics extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.outcomes import MODEL_ERROR, OK
from gateway.telemetry.figures import SlabFigures
from gateway.telemetry.slab import SlabDirectory

if TYPE_CHECKING:
    from pathlib import Path

KEY = ("fraud", "1")


def test_figures_are_summed_over_all_workers(tmp_path: Path) -> None:
    slabs = SlabDirectory(tmp_path, clock=lambda: 10.0)
    workers = [slabs.acquire() for _ in range(2)]
    for number, slab in enumerate(workers, start=1):
        cells = slab.version(*KEY)
        for _ in range(number):
            cells.answered(OK, 0.25)
            cells.waited([0.125])
            cells.ran(4, 0.0625)
        slab.traffic(0, 7.0 + number)
    workers[0].version(*KEY).answered(MODEL_ERROR, 0.5)

    found = SlabFigures(slabs, lambda: 10.0, lambda: 1_000.0).figures()[KEY]

    assert (found.succeeded, found.failed, found.waits, found.runs, found.rows) == (3, 1, 3, 3, 12)
    assert (found.request_seconds, found.wait_seconds, found.run_seconds) == (1.25, 0.375, 0.1875)
    assert found.last_request == 999.0
    for slab in workers:
        slab.close()


def test_every_look_says_the_same_and_an_unloaded_version_starts_anew(tmp_path: Path) -> None:
    now = [1.0]
    slabs = SlabDirectory(tmp_path, clock=lambda: now[0])
    slab = slabs.acquire()
    figures = SlabFigures(slabs, lambda: now[0])
    slab.version(*KEY).answered(OK, 0.1)

    first, second = figures.figures()[KEY], figures.figures()[KEY]
    now[0] = 2.0
    slab.retire(*KEY)
    now[0] = 3.0
    between = figures.figures()
    slab.version(*KEY)
    after = figures.figures()[KEY]

    assert first == second
    assert KEY not in between
    assert (first.succeeded, after.succeeded) == (1, 0)
    slab.close()


def test_a_version_that_was_run_before_its_worker_told_the_time_was_run_just_now(tmp_path: Path) -> None:
    slabs = SlabDirectory(tmp_path)
    slab = slabs.acquire()
    slab.version(*KEY).ran(1, 0.1)

    assert SlabFigures(slabs, lambda: 10.0, lambda: 1_000.0).figures()[KEY].last_request == 1_000.0
    slab.close()


def test_a_version_that_was_never_run_has_no_last_request(tmp_path: Path) -> None:
    slabs = SlabDirectory(tmp_path)
    slab = slabs.acquire()
    slab.version(*KEY)
    slab.traffic(0, 5.0)

    assert SlabFigures(slabs).figures()[KEY].last_request == 0.0
    slab.close()
