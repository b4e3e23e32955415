"""What a worker counts, and what of it outlives the worker."""

from __future__ import annotations

import errno
import os
from bisect import bisect_left
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.outcomes import MODEL_ERROR, OK, OUTCOMES
from gateway.telemetry import slab as slab_module
from gateway.telemetry.cells import BlockCells
from gateway.telemetry.layout import (
    BLOCK_CELLS,
    COPY_DROPS,
    COPY_OUTCOMES,
    DIFFERENCE_EDGES,
    DURATION_EDGES,
    FALLBACKS,
    REFUSALS,
    ROW_EDGES,
    Layout,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.metrics import Metrics, VersionCells
    from gateway.telemetry.slab import SlabDirectory
    from gateway.telemetry.views import BlockView

LAYOUT = Layout()


def blocks(slabs: SlabDirectory) -> list[BlockView]:
    return [block for slab in slabs.read().slabs for block in slab.blocks]


def answered(block: BlockView) -> dict[str, float]:
    return {name: count for name, count in zip(OUTCOMES, block.counts[LAYOUT.outcomes], strict=True) if count}


def test_each_call_counts_where_its_name_says(slabs: SlabDirectory) -> None:
    cells = slabs.acquire().version("fraud", "2")

    cells.answered(MODEL_ERROR, 0.3)
    cells.ran(3, 0.002)
    cells.computed(0.001)
    cells.waited([0.0002])
    cells.fell_back("timeout")

    [block] = blocks(slabs)
    assert block.key == ("fraud", "2")
    assert answered(block) == {"model_error": 1}
    assert block.counts[LAYOUT.request][DURATION_EDGES.index(0.5)] == 1
    assert block.counts[LAYOUT.request][-1] == 0.3
    assert block.counts[LAYOUT.inference][DURATION_EDGES.index(0.0025)] == 1
    assert block.counts[LAYOUT.inference][-1] == 0.002
    assert block.counts[LAYOUT.queue][DURATION_EDGES.index(0.00025)] == 1
    assert block.counts[LAYOUT.queue][-1] == 0.0002
    assert block.counts[LAYOUT.rows][ROW_EDGES.index(4.0)] == 1
    assert block.counts[LAYOUT.rows][-1] == 3
    assert dict(zip(FALLBACKS, block.counts[LAYOUT.fallbacks], strict=True))["timeout"] == 1
    assert block.counts[LAYOUT.cpu_seconds] == (0.001,)
    assert sum(map(bool, block.counts)) == 11


def test_what_became_of_copies_is_counted_beside_the_requests_and_not_among_them(slabs: SlabDirectory) -> None:
    cells = slabs.acquire().version("fraud", "3")

    cells.copied("invalid", 0.002)
    cells.copied("sunk", 0.002)
    cells.copy_dropped("busy")
    cells.copy_dropped("lost")
    cells.compared(True, 0.0, 0.0)
    cells.compared(False, 0.5, 2.0)
    cells.compared(False, None, None)

    [block] = blocks(slabs)
    copies = dict(zip(COPY_OUTCOMES, block.counts[LAYOUT.copies], strict=True))
    drops = dict(zip(COPY_DROPS, block.counts[LAYOUT.copies_dropped], strict=True))
    assert (copies["invalid"], copies["other"], sum(copies.values())) == (1, 1, 2)
    assert (drops["busy"], drops["other"], sum(drops.values())) == (1, 1, 2)
    assert block.counts[LAYOUT.pairs] == (1, 2)
    assert block.counts[LAYOUT.copy_seconds][DURATION_EDGES.index(0.0025)] == 2
    assert block.counts[LAYOUT.mean_difference][0] == block.counts[LAYOUT.max_difference][0] == 1
    assert block.counts[LAYOUT.mean_difference][DIFFERENCE_EDGES.index(1.0)] == 1
    assert block.counts[LAYOUT.max_difference][DIFFERENCE_EDGES.index(10.0)] == 1
    assert (block.counts[LAYOUT.mean_difference][-1], block.counts[LAYOUT.max_difference][-1]) == (0.5, 2.0)
    assert not any(block.counts[: LAYOUT.copies.start])


@given(st.floats(0, 1e6), st.integers(1, 10_000))
def test_a_bucket_holds_what_is_at_most_its_edge(seconds: float, rows: int) -> None:
    counts = memoryview(bytearray(BLOCK_CELLS * 8)).cast("d")

    BlockCells(counts, LAYOUT).ran(rows, seconds)

    assert list(counts[LAYOUT.inference]).index(1.0) == sum(edge < seconds for edge in DURATION_EDGES)
    assert list(counts[LAYOUT.rows]).index(1.0) == bisect_left(ROW_EDGES, rows)


def test_a_slab_is_what_the_request_path_counts_through(slabs: SlabDirectory) -> None:
    metrics: Metrics = slabs.acquire()
    cells: VersionCells = metrics.version("fraud", "1")

    cells.answered(OK, 0.1)

    assert answered(blocks(slabs)[0]) == {"ok": 1}


def test_a_fallback_for_an_unforeseen_reason_counts_as_other(slabs: SlabDirectory) -> None:
    cells = slabs.acquire().version("fraud", "2")

    cells.fell_back("moon phase")

    assert dict(zip(FALLBACKS, blocks(slabs)[0].counts[LAYOUT.fallbacks], strict=True))["other"] == 1


def test_a_version_has_the_same_cells_at_every_call(slabs: SlabDirectory) -> None:
    slab = slabs.acquire()

    assert slab.version("fraud", "1") is slab.version("fraud", "1")
    assert slab.version("fraud", "1") is not slab.version("fraud", "2")


def test_the_names_for_what_callers_invent_are_a_version_like_any_other(slabs: SlabDirectory) -> None:
    slabs.acquire().version("_unknown", "_unknown").answered(OK, 0.1)

    assert [block.key for block in blocks(slabs)] == [("_unknown", "_unknown")]


def test_the_longest_names_of_a_catalog_fit_and_longer_ones_are_refused(slabs: SlabDirectory) -> None:
    slab = slabs.acquire()

    slab.version("m" * 63, "9" * 18)

    assert blocks(slabs)[0].key == ("m" * 63, "9" * 18)
    with pytest.raises(ValueError, match="longer"):
        slab.version("m" * 160, "1")


def test_a_version_that_is_loaded_again_counts_from_zero(
    slabs: SlabDirectory, pass_seconds: Callable[[float], None]
) -> None:
    slab = slabs.acquire()
    slab.version("fraud", "1").answered(OK, 0.1)
    pass_seconds(1)
    slab.retire("fraud", "1")
    pass_seconds(1)

    slab.version("fraud", "1")

    old, new = blocks(slabs)
    assert (old.is_loaded, answered(old)) == (False, {"ok": 1})
    assert (new.is_loaded, answered(new)) == (True, {})


def test_retiring_what_was_never_loaded_changes_nothing(slabs: SlabDirectory) -> None:
    slabs.acquire().retire("fraud", "1")

    assert blocks(slabs) == []


def test_a_request_that_outlives_its_version_is_counted_with_it(slabs: SlabDirectory) -> None:
    slab = slabs.acquire()
    cells = slab.version("fraud", "1")
    slab.retire("fraud", "1")
    slab.version("fraud", "1")

    cells.answered(OK, 0.1)

    assert [answered(block) for block in blocks(slabs)] == [{"ok": 1}, {}]


def test_a_successor_counts_on_and_starts_with_fresh_gauges(
    slabs: SlabDirectory, pass_seconds: Callable[[float], None], now: Callable[[], float]
) -> None:
    first = slabs.acquire()
    first.version("fraud", "1").answered(OK, 0.1)
    first.traffic(1, 0.0)
    first.connections(7)
    first.route_refused("digest_mismatch")
    first.close()
    pass_seconds(5)

    second = slabs.acquire()
    second.version("fraud", "1").answered(OK, 0.1)

    [view] = slabs.read().slabs
    assert answered(view.blocks[0]) == {"ok": 2}
    assert (view.gauges.in_flight, view.gauges.open_connections) == (0, 0)
    assert view.gauges.started_at == now()
    assert sum(view.refusals) == 1


def test_workers_that_live_never_share_a_slab(slabs: SlabDirectory) -> None:
    held = [slabs.acquire() for _ in range(3)]

    for slab in held:
        slab.version("fraud", "1").answered(OK, 0.1)

    assert [answered(block) for block in blocks(slabs)] == [{"ok": 1}] * 3


def test_what_a_successor_does_not_load_ends_when_it_is_done_loading(slabs: SlabDirectory) -> None:
    first = slabs.acquire()
    first.version("fraud", "1")
    first.version("fraud", "2")
    first.close()
    second = slabs.acquire()
    second.version("fraud", "2")

    second.retire_unclaimed()

    assert {block.key: block.is_loaded for block in blocks(slabs)} == {("fraud", "1"): False, ("fraud", "2"): True}


def test_a_successor_can_unload_what_it_never_loaded(slabs: SlabDirectory) -> None:
    first = slabs.acquire()
    first.version("fraud", "1")
    first.close()

    slabs.acquire().retire("fraud", "1")

    assert [block.is_loaded for block in blocks(slabs)] == [False]


def test_gauges_say_what_the_worker_last_said(slabs: SlabDirectory) -> None:
    slab = slabs.acquire()
    slab.traffic(1, 1001.0)
    slab.connections(12)
    slab.heartbeat(1002.0, 0.25)
    slab.store_seen(1003.0, up=True)
    slab.store_seen(1004.0, up=False)

    [gauges] = slabs.gauges()

    assert gauges.live
    assert gauges.pid == os.getpid()
    assert (gauges.in_flight, gauges.last_request_at, gauges.open_connections) == (1, 1001.0, 12)
    assert (gauges.heartbeat, gauges.loop_lag_seconds) == (1002.0, 0.25)
    assert (gauges.store_up, gauges.store_answered_at) == (False, 1003.0)


def test_a_worker_that_gave_its_slab_back_is_not_live(slabs: SlabDirectory) -> None:
    slabs.acquire().close()

    assert [gauges.live for gauges in slabs.gauges()] == [False]


def test_refused_routes_are_counted_by_reason_and_unforeseen_reasons_as_other(slabs: SlabDirectory) -> None:
    slab = slabs.acquire()

    for reason in (*REFUSALS, "moon phase"):
        slab.route_refused(reason)

    assert slabs.read().slabs[0].refusals == (*(1 for _ in REFUSALS[:-1]), 2)


def test_a_full_slab_reuses_the_block_whose_version_is_gone_longest(
    slabs: SlabDirectory, pass_seconds: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slab_module, "BLOCKS", 3)
    slab = slabs.acquire()
    for version in ("1", "2", "3"):
        slab.version("fraud", version).answered(OK, 0.1)
    slab.retire("fraud", "2")
    pass_seconds(1)
    slab.retire("fraud", "1")

    slab.version("fraud", "4")

    assert {block.key: answered(block) for block in blocks(slabs)} == {
        ("fraud", "1"): {"ok": 1}, ("fraud", "4"): {}, ("fraud", "3"): {"ok": 1}
    }  # fmt: skip


def test_without_room_a_version_is_served_uncounted_and_the_log_says_so(
    slabs: SlabDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slab = slabs.acquire()
    slab.version("fraud", "1")

    def full(_fd: int, _offset: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    slab.version("fraud", "2").answered(OK, 0.1)
    slab.retire("fraud", "2")

    assert [(block.key, answered(block)) for block in blocks(slabs)] == [(("fraud", "1"), {})]
    assert "version 2 of model fraud is not counted" in caplog.text


def test_a_wiped_directory_is_empty_and_can_be_wiped_before_it_exists(slabs: SlabDirectory) -> None:
    slabs.wipe()
    slabs.acquire().version("fraud", "1")
    (slabs.path / "half.new").touch()

    slabs.wipe()

    assert list(slabs.path.iterdir()) == []


def test_counts_cost_no_memory_before_they_are_used(slabs: SlabDirectory) -> None:
    slabs.acquire().version("fraud", "1")

    [path] = slabs.path.iterdir()

    assert path.stat().st_blocks * 512 <= 64 * 1024 < path.stat().st_size
