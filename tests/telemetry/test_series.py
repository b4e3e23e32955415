"""A counter never falls while a version is there, and ends when it is gone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.outcomes import OK
from gateway.telemetry.series import REPLACED_WITHIN, Ledger, last_incarnation
from gateway.telemetry.views import BlockView

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.telemetry.slab import SlabDirectory

    Scrape = Callable[[], float | None]
    Wait = Callable[[float], None]


@pytest.fixture
def scrape(slabs: SlabDirectory, now: Callable[[], float]) -> Scrape:
    """Return how many requests of fraud/1 ended well, as a scrape shows it; None without such a series."""
    ledger = Ledger(now())

    def take() -> float | None:
        counts = ledger.take(slabs.read(), now()).counts.get(("fraud", "1"))
        return None if counts is None else counts[OK]

    return take


def test_a_loaded_version_has_its_series_from_the_start(slabs: SlabDirectory, scrape: Scrape) -> None:
    slabs.acquire().version("fraud", "1")

    assert scrape() == 0


def test_workers_are_summed(slabs: SlabDirectory, scrape: Scrape) -> None:
    for _ in range(3):
        slabs.acquire().version("fraud", "1").answered(OK, 0.1)

    assert scrape() == 3


def test_a_version_that_is_gone_everywhere_is_scraped_once_more_and_then_no_more(
    slabs: SlabDirectory, scrape: Scrape, pass_seconds: Wait
) -> None:
    one, two = slabs.acquire(), slabs.acquire()
    one.version("fraud", "1").answered(OK, 0.1)
    two.version("fraud", "1").answered(OK, 0.1)

    one.retire("fraud", "1")
    pass_seconds(1)
    while_one_has_it = [scrape(), scrape()]
    two.retire("fraud", "1")

    assert while_one_has_it == [2, 2]
    assert [scrape(), scrape(), scrape()] == [2, None, None]


def test_a_version_that_comes_back_counts_from_zero(slabs: SlabDirectory, scrape: Scrape, pass_seconds: Wait) -> None:
    one, two = slabs.acquire(), slabs.acquire()
    one.version("fraud", "1").answered(OK, 0.1)
    two.version("fraud", "1").answered(OK, 0.1)
    pass_seconds(1)
    one.retire("fraud", "1")
    two.retire("fraud", "1")
    pass_seconds(1)

    one.version("fraud", "1").answered(OK, 0.1)

    assert scrape() == 1


def test_a_version_reloaded_worker_by_worker_never_falls(
    slabs: SlabDirectory, scrape: Scrape, pass_seconds: Wait
) -> None:
    workers = [slabs.acquire(), slabs.acquire()]
    for worker in workers:
        worker.version("fraud", "1").answered(OK, 0.1)
    seen = [scrape()]

    for worker in workers:
        pass_seconds(1)
        worker.retire("fraud", "1")
        seen.append(scrape())
        pass_seconds(1)
        worker.version("fraud", "1").answered(OK, 0.1)
        seen.append(scrape())

    assert seen == [2, 2, 3, 3, 4]


def test_a_dead_worker_keeps_its_counts_and_its_versions_until_it_is_replaced(
    slabs: SlabDirectory, scrape: Scrape, pass_seconds: Wait
) -> None:
    only = slabs.acquire()
    only.version("fraud", "1").answered(OK, 0.1)

    only.close()
    pass_seconds(3)
    while_dead = [scrape(), scrape()]
    slabs.acquire().version("fraud", "1").answered(OK, 0.1)

    assert while_dead == [1, 1]
    assert scrape() == 2


def test_a_dead_worker_that_nobody_replaces_does_not_keep_a_version_alive_for_ever(
    slabs: SlabDirectory, scrape: Scrape, pass_seconds: Wait
) -> None:
    dead, alive = slabs.acquire(), slabs.acquire()
    dead.version("fraud", "1").answered(OK, 0.1)
    alive.version("fraud", "1").answered(OK, 0.1)
    dead.close()
    pass_seconds(1)
    alive.retire("fraud", "1")

    pass_seconds(REPLACED_WITHIN)

    assert [scrape(), scrape()] == [2, None]


def test_counts_of_a_dead_worker_stay_in_the_sum_long_after(
    slabs: SlabDirectory, scrape: Scrape, pass_seconds: Wait
) -> None:
    dead, alive = slabs.acquire(), slabs.acquire()
    dead.version("fraud", "1").answered(OK, 0.1)
    alive.version("fraud", "1").answered(OK, 0.1)
    dead.close()

    pass_seconds(10 * REPLACED_WITHIN)

    assert scrape() == 2


@pytest.mark.parametrize("lose", ["cut", "remove"])
def test_counts_of_a_slab_that_is_lost_stay_in_the_sum(slabs: SlabDirectory, scrape: Scrape, lose: str) -> None:
    victim = slabs.acquire()
    victim.version("fraud", "1").answered(OK, 0.1)
    victim.close()
    [path] = slabs.path.iterdir()
    before = scrape()

    if lose == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        path.unlink()
    slabs.acquire().version("fraud", "1").answered(OK, 0.1)

    assert (before, scrape()) == (1, 2)


def test_a_damaged_file_is_counted_once(slabs: SlabDirectory) -> None:
    ledger = Ledger(0.0)
    slabs.acquire()
    (slabs.path / "junk.slab").touch()

    damaged = [ledger.take(slabs.read(), 1000.0).damaged for _ in range(3)]
    (slabs.path / "junk.slab").unlink()

    assert damaged == [1, 1, 1]
    assert ledger.take(slabs.read(), 1000.0).damaged == 1


def test_what_ended_before_the_control_process_started_is_not_shown_again(
    slabs: SlabDirectory, now: Callable[[], float], pass_seconds: Wait
) -> None:
    slab = slabs.acquire()
    slab.version("fraud", "1")
    slab.retire("fraud", "1")
    pass_seconds(1)

    assert Ledger(now()).take(slabs.read(), now()).counts == {}


def test_without_slabs_there_are_no_series(slabs: SlabDirectory) -> None:
    snapshot = Ledger(0.0).take(slabs.read(), 1.0)

    assert (snapshot.counts, snapshot.live, snapshot.damaged) == ({}, (), 0)
    assert set(snapshot.refusals) == {0.0}


SPELLS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 6) | st.just(math.inf)), min_size=1, max_size=8)


@given(SPELLS)
def test_an_incarnation_is_cut_off_exactly_where_nobody_had_the_version(spells: list[tuple[int, float]]) -> None:
    blocks = [(start + length, BlockView("fraud", "1", start, start + length, ())) for start, length in spells]

    until, latest = last_incarnation(blocks)

    begin = min(block.activated_at for block in latest)
    earlier = [end for end, block in blocks if block not in latest]
    assert until == max(end for end, _ in blocks)
    assert all(end < begin for end in earlier)
    ends = sorted((block.activated_at, block.retired_at) for block in latest)
    reached = ends[0][1]
    for start, end in ends[1:]:
        assert start <= reached
        reached = max(reached, end)
