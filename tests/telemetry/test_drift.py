"""The series of drift and anomalies, and the windows that anomalies are found in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from prometheus_client import CollectorRegistry, generate_latest

from gateway.core.anomalies import Anomaly
from gateway.core.drift import ColumnFinding, Rate, State
from gateway.core.outcomes import CLIENT_ERROR, MODEL_ERROR, OK, TIMEOUT
from gateway.telemetry.drift import DriftCollector
from gateway.telemetry.slab import SlabDirectory
from gateway.telemetry.windows import SlabWindows

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.ports.metrics import DriftMetrics


def test_columns_states_rows_and_anomalies_are_series_with_bounded_labels() -> None:
    rates = Rate(0.25, 0.0), Rate(0.5, 0.0)
    finding = ColumnFinding("amount", State.DRIFTED, 1.5, 1000, 30.0, 20.0, "amount: moved", *rates)
    silent = ColumnFinding("label", State.STABLE, 0.0, 1000, 0.0, 20.0, "label: as in the reference")
    board = SimpleNamespace(
        findings=lambda: {"fraud": {1: [finding, silent]}}, rows=lambda: {"fraud": {1: 64, 2: 3}},
        anomalies=lambda: {"fraud": {1: [Anomaly("traffic", 9.0, (1.0, 2.0), "much")]}},
    )  # fmt: skip
    registry = CollectorRegistry()
    registry.register(DriftCollector(cast("DriftMetrics", board)))

    lines = {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}

    assert {line for line in lines if not line.endswith(" 0.0")} == {
        'gateway_drift_rows_total{model="fraud",version="1"} 64.0',
        'gateway_drift_rows_total{model="fraud",version="2"} 3.0',
        'gateway_drift_psi{column="amount",model="fraud",version="1"} 1.5',
        'gateway_drift_missing_ratio{column="amount",model="fraud",version="1"} 0.25',
        'gateway_drift_outside_ratio{column="amount",model="fraud",version="1"} 0.5',
        'gateway_drift_columns{model="fraud",state="drifted",version="1"} 1.0',
        'gateway_drift_columns{model="fraud",state="stable",version="1"} 1.0',
        'gateway_anomaly{model="fraud",series="traffic",version="1"} 1.0',
    }
    assert len(lines) == 2 + 2 + 2 + len(State) + 3


def test_a_window_is_what_all_workers_counted_since_the_last_one(tmp_path: Path) -> None:
    slabs = SlabDirectory(tmp_path)
    workers = [slabs.acquire() for _ in range(2)]
    windows = SlabWindows(slabs)
    for slab in workers:
        slab.version("fraud", "1").answered(OK, 5.0)

    assert windows.take() == {}
    for slab in workers:
        for outcome in (OK, CLIENT_ERROR, MODEL_ERROR, TIMEOUT):
            slab.version("fraud", "1").answered(outcome, 0.002)
    found = windows.take()["fraud", "1"]
    quiet = windows.take()["fraud", "1"]

    assert (found.requests, found.failures) == (8, 4)
    assert found.p95_seconds is not None
    assert 0.001 < found.p95_seconds <= 0.0025
    assert (quiet.requests, quiet.failures, quiet.p95_seconds) == (0, 0, None)
    for slab in workers:
        slab.close()


def test_a_version_that_was_loaded_anew_is_left_out_once(tmp_path: Path) -> None:
    now = [100.0]
    slabs = SlabDirectory(tmp_path, clock=lambda: now[0])
    slab, windows = slabs.acquire(), SlabWindows(slabs, clock=lambda: now[0])
    slab.version("fraud", "1").answered(OK, 0.002)
    windows.take()
    slab.retire("fraud", "1")
    now[0] += 10
    slab.version("fraud", "1")
    now[0] += 10

    assert windows.take() == {}
    assert windows.take()["fraud", "1"].requests == 0
    slab.close()
