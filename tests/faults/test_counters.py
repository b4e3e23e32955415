"""Files of counters are cut off and overwritten, and a worker is killed: every scrape answers, and nothing falls."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from gateway.processes.reports import ReportDirectory
from gateway.processes.state import StateDirectory
from gateway.telemetry.slab import SlabDirectory
from tests.faults import inside, thresholds
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway

    Samples = Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]

pytestmark = pytest.mark.fault

ROUTE: Final = 'split: {"1": 95, "2": 5}\nassign: {by: random}\nbaseline: "1"'
COUNTS: Final = ("_total", "_count", "_sum", "_bucket")
SCRAPE_EVERY_SECONDS: Final = 1.0
CUT_BYTES: Final = 1000
REPLACED_SECONDS: Final = 20.0
SPOILED: Final = 2
"""Files, and workers that end: one touches its file behind its end (SIGBUS), one is killed."""


@dataclass(slots=True)
class Scrapes:
    """What was scraped in turns, how long each took in seconds, and how many were not answered with 200."""

    pages: list[Samples] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def take(self, gateway: Gateway) -> None:
        """Scrape once."""
        began = time.monotonic()
        try:
            self.pages.append(metrics.scrape(gateway))
        except (AssertionError, OSError):
            self.failed += 1
        self.seconds.append(time.monotonic() - began)

    def fell(self) -> int:
        """Return how often a counter, or a part of a histogram, was less than a scrape before, or gone."""
        counted = [
            {(name, labels): value for name in page if name.endswith(COUNTS) for labels, value in page[name].items()}
            for page in self.pages
        ]
        return sum(later.get(key, -1.0) < value for before, later in pairwise(counted) for key, value in before.items())

    def grew(self) -> int:
        """Return how many labels the last scrape has that the first had not; series of the control process's own, such
        as drift's, begin in their time."""
        first, last = (
            {label for each in page.values() for labels in each for label in labels}
            for page in (self.pages[0], self.pages[-1])
        )
        return len(last - first)


async def scrape_forever(gateway: Gateway, into: Scrapes) -> None:
    """Scrape once a second, as a monitoring does."""
    while True:
        await asyncio.to_thread(into.take, gateway)
        await asyncio.sleep(SCRAPE_EVERY_SECONDS)


def slab_of(gateway: Gateway, pid: int) -> Path:
    """Return the file that a worker counts in."""
    directory = SlabDirectory(StateDirectory(gateway.state).slabs)
    [name] = [each.slab for each in directory.gauges() if each.pid == pid]
    return directory.path / name


def cut(gateway: Gateway, pid: int) -> None:
    """Cut a worker's file off in its first page; the worker ends where it counts next."""
    os.truncate(slab_of(gateway, pid), CUT_BYTES)


def fill_with_junk(gateway: Gateway, pid: int) -> None:
    """Overwrite all of a worker's file in place, and kill the worker."""
    path = slab_of(gateway, pid)
    with path.open("r+b") as file:
        file.write(b"\xa5" * path.stat().st_size)
    os.kill(pid, signal.SIGKILL)


def is_replaced(gateway: Gateway, pid: int) -> bool:
    """Say whether a worker is gone and all are ready, by what they report; a scrape may fail here."""
    reports = ReportDirectory(StateDirectory(gateway.state).reports).reports()
    ready = sum(not report.not_ready for report in reports)
    pids = gateway.worker_pids()
    return pid not in pids and len(pids) == len(reports) == ready == gateway.workers


async def spoil(gateway: Gateway) -> tuple[Load, Scrapes]:
    """Cut one worker's file off, fill the other's with junk and kill that worker, under load and scrapes."""
    scrapes = Scrapes()
    async with Load(gateway.port, keep_alive=False) as load:  # so that each worker has something to count
        await load.answered(200)
        scraping = asyncio.create_task(scrape_forever(gateway, scrapes))
        await load.answered(200)
        for pid, strike in zip(gateway.worker_pids(), (cut, fill_with_junk), strict=True):
            await asyncio.to_thread(strike, gateway, pid)
            back = lambda pid=pid: is_replaced(gateway, pid)  # noqa: E731 - asked here
            await asyncio.to_thread(eventually, back, REPLACED_SECONDS, "the worker is replaced")
            await load.answered(200)
        scraping.cancel()
    scrapes.take(gateway)
    return load, scrapes


async def test_scrapes_answer_and_no_counter_falls_though_files_of_counters_are_spoiled(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE)

    load, scrapes = await spoil(gateway)

    counted, answered = metrics.requests(gateway).total(), load.by_model().total()
    with table.promise("R23", "a file of counters cut off, one filled with junk, and its worker killed") as found:
        found("scrapes not answered with 200", scrapes.failed, thresholds.NONE)
        found("slowest scrape", max(scrapes.seconds), thresholds.SCRAPED)
        found("counters that fell", scrapes.fell(), thresholds.NONE)
        found("labels that were not there before", scrapes.grew(), thresholds.NONE)
        found("spoiled files that no metric counts", SPOILED - spoiled(gateway), thresholds.NONE)
        found("requests lost", len(load.faults) / SPOILED, thresholds.IN_FLIGHT)
        found("answers that no metric counts", max(0, answered - counted) / SPOILED, thresholds.UNCOUNTED)
        found("counted, and neither answered nor lost", max(0, counted - answered - len(load.faults)), thresholds.NONE)
    assert load.by_header() == load.by_model()


def spoiled(gateway: Gateway) -> float:
    """Return how many files the gateway says it could not read."""
    return metrics.gauge(gateway, "gateway_slabs_damaged_total") or 0


async def test_control_a_reader_that_takes_every_file_for_whole_fails_the_scrape(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE, command=inside.command("slabs-are-whole"))

    _, scrapes = await spoil(gateway)

    with table.control("R23", "nobody looks whether a file of counters is whole") as found:
        found("scrapes not answered with 200", scrapes.failed, thresholds.NONE)
