"""What somebody who watches sees of a version: outcomes, fallbacks, quantiles of durations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core.outcomes import OK, OUTCOMES, TIMEOUT
from gateway.telemetry.slab import SlabDirectory
from gateway.telemetry.traffic import SlabTraffic, quantile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def test_the_traffic_of_a_version_is_summed_over_all_workers(tmp_path: Path) -> None:
    slabs = SlabDirectory(tmp_path)
    workers = [slabs.acquire() for _ in range(2)]
    for slab in workers:
        cells = slab.version("fraud", "1")
        cells.answered(OK, 0.002)
        cells.answered(TIMEOUT, 0.002)
        cells.fell_back("timeout")
        slab.version("other", "1").answered(OK, 9.0)

    found = SlabTraffic(slabs).of("fraud")

    assert set(found) == {"1"}
    assert found["1"].requests == {outcome: 2 if outcome in {"ok", "timeout"} else 0 for outcome in OUTCOMES}
    assert found["1"].fallbacks == 2
    assert all(0.001 < seconds <= 0.0025 for seconds in found["1"].quantiles.values())
    for slab in workers:
        slab.close()


def test_the_share_of_the_processor_is_of_all_versions_of_all_models(tmp_path: Path) -> None:
    slabs = SlabDirectory(tmp_path)
    slab = slabs.acquire()
    for model, seconds in (("fraud", 1.5), ("other", 4.5)):
        cells = slab.version(model, "1")
        cells.ran(3, 9.0)
        cells.computed(seconds)

    found = SlabTraffic(slabs).of("fraud")["1"]

    assert (found.rows, found.cpu_seconds, found.cpu_share) == (3, 1.5, 0.25)
    slab.close()


def test_a_version_without_requests_has_no_quantiles(tmp_path: Path) -> None:
    slabs = SlabDirectory(tmp_path)
    slab = slabs.acquire()
    slab.version("fraud", "1")

    found = SlabTraffic(slabs).of("fraud")["1"]

    assert (found.quantiles, found.cpu_share) == ({}, 0.0)
    slab.close()


@pytest.mark.parametrize(
    ("buckets", "share", "value"),
    [
        ((10, 0, 0), 0.5, 0.5),
        ((5, 5, 0), 0.5, 1.0),
        ((5, 5, 0), 0.75, 1.5),
        ((0, 4, 0), 1.0, 2.0),
        ((1, 0, 99), 0.95, 2.0),
    ],
)
def test_a_quantile_lies_where_that_share_of_the_counts_is_reached(
    buckets: Sequence[float], share: float, value: float
) -> None:
    assert quantile((1.0, 2.0), buckets, share) == value


def test_nothing_counted_has_no_quantile() -> None:
    assert quantile((1.0, 2.0), (0, 0, 0), 0.5) is None
