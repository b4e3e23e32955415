"""What Prometheus reads."""

from __future__ import annotations

import math
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.core.outcomes import MODEL_ERROR, OK, OUTCOMES
from gateway.core.versions import VersionState, VersionStatus
from gateway.ports.workers import WorkerReport
from gateway.telemetry.collector import BEAT_SECONDS, GatewayCollector
from gateway.telemetry.layout import DURATION_EDGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.telemetry.slab import SlabDirectory

    Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

FRAUD_1 = {"model": "fraud", "version": "1"}


@dataclass
class FakeWorkers:
    said: list[WorkerReport] = field(default_factory=list)

    def reports(self) -> Sequence[WorkerReport]:
        return self.said


def report(slot: int, states: dict[int, VersionState], revision: int = 1) -> WorkerReport:
    versions = [VersionStatus("fraud", version, state, "unloaded") for version, state in states.items()]
    return WorkerReport(slot, 100 + slot, {}, {"fraud": revision}, versions, store_up=True)


@pytest.fixture
def workers() -> FakeWorkers:
    return FakeWorkers()


@pytest.fixture
def collector(slabs: SlabDirectory, workers: FakeWorkers, now: Callable[[], float]) -> GatewayCollector:
    return GatewayCollector(slabs, workers, lambda: {"fraud": {1: 0.95, 2: 0.05}}, now, runtime_version="1.31.0")


def scrape(collector: GatewayCollector, accept: str = "") -> Samples:
    text = collector.render(accept)[0].decode()
    parse = parse_openmetrics if "openmetrics" in accept else parse_text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"gateway_{name}", frozenset(labels.items())))


def test_requests_are_summed_over_the_workers_by_outcome(slabs: SlabDirectory, collector: GatewayCollector) -> None:
    for worker in (slabs.acquire(), slabs.acquire()):
        worker.version("fraud", "1").answered(OK, 0.1)
    worker.version("fraud", "1").answered(MODEL_ERROR, 0.1)

    samples = scrape(collector)

    assert value(samples, "requests_total", outcome="ok", **FRAUD_1) == 2
    assert value(samples, "requests_total", outcome="model_error", **FRAUD_1) == 1


def test_a_loaded_version_has_every_outcome_as_zero(slabs: SlabDirectory, collector: GatewayCollector) -> None:
    slabs.acquire().version("fraud", "1")

    samples = scrape(collector)

    assert [value(samples, "requests_total", outcome=outcome, **FRAUD_1) for outcome in OUTCOMES] == [0] * 7


def test_every_worker_that_followed_a_death_counts_and_those_after_it_go_on(
    slabs: SlabDirectory, collector: GatewayCollector
) -> None:
    before = value(scrape(collector), "worker_deaths_total")
    for _ in range(2):
        follower = slabs.acquire()
        follower.follows_a_death()
        follower.close()
    slabs.acquire()

    after = value(scrape(collector), "worker_deaths_total")

    assert (before, after) == (0, 2)


@pytest.mark.parametrize(
    ("name", "le", "total"),
    [
        ("request_duration_seconds", "0.5", 0.3),
        ("inference_duration_seconds", "0.0025", 0.002),
        ("queue_duration_seconds", "0.00025", 0.0002),
        ("batch_rows", "4.0", 3.0),
    ],
)
def test_histograms_are_cumulative_and_end_in_their_count(
    slabs: SlabDirectory, collector: GatewayCollector, name: str, le: str, total: float
) -> None:
    cells = slabs.acquire().version("fraud", "1")
    cells.answered(OK, 0.3)
    cells.ran(3, 0.002)
    cells.waited([0.0002])

    samples = scrape(collector)

    buckets = {
        float(dict(labels)["le"]): count
        for (sample, labels), count in samples.items()
        if sample.endswith(f"{name}_bucket")
    }
    assert all(count == (edge >= float(le)) for edge, count in buckets.items())
    assert {float(le), math.inf} <= set(buckets)
    assert value(samples, f"{name}_count", **FRAUD_1) == 1
    assert value(samples, f"{name}_sum", **FRAUD_1) == total


def test_rows_and_cpu_time_are_counters_of_a_version(slabs: SlabDirectory, collector: GatewayCollector) -> None:
    cells = slabs.acquire().version("fraud", "1")
    cells.ran(3, 0.002)
    cells.computed(0.25)

    samples = scrape(collector)

    assert value(samples, "inference_rows_total", **FRAUD_1) == 3
    assert value(samples, "inference_cpu_seconds_total", **FRAUD_1) == 0.25


def test_every_duration_edge_is_a_bucket(slabs: SlabDirectory, collector: GatewayCollector) -> None:
    slabs.acquire().version("fraud", "1")

    edges = [
        float(dict(labels)["le"])
        for name, labels in scrape(collector)
        if name == "gateway_request_duration_seconds_bucket"
    ]

    assert edges == [*DURATION_EDGES, math.inf]


def test_fallbacks_are_counted_by_reason(slabs: SlabDirectory, collector: GatewayCollector) -> None:
    slabs.acquire().version("fraud", "1").fell_back("timeout")

    samples = scrape(collector)

    assert value(samples, "fallbacks_total", reason="timeout", **FRAUD_1) == 1
    assert value(samples, "fallbacks_total", reason="error", **FRAUD_1) == 0


def test_what_a_shadow_did_with_its_copies_is_shown(slabs: SlabDirectory, collector: GatewayCollector) -> None:
    cells = slabs.acquire().version("fraud", "1")
    cells.copied("ok", 0.002)
    cells.copy_dropped("full")
    cells.compared(False, 0.5, 2.0)

    samples = scrape(collector)

    assert value(samples, "shadow_requests_total", outcome="ok", **FRAUD_1) == 1
    assert value(samples, "shadow_dropped_total", reason="full", **FRAUD_1) == 1
    assert value(samples, "shadow_agreements_total", **FRAUD_1) == 0
    assert value(samples, "shadow_disagreements_total", **FRAUD_1) == 1
    assert value(samples, "shadow_duration_seconds_sum", **FRAUD_1) == 0.002
    assert value(samples, "shadow_mean_difference_sum", **FRAUD_1) == 0.5
    assert value(samples, "shadow_max_difference_sum", **FRAUD_1) == 2.0
    assert value(samples, "requests_total", outcome="ok", **FRAUD_1) == 0


def test_what_became_of_recordings_is_shown(slabs: SlabDirectory, collector: GatewayCollector) -> None:
    cells = slabs.acquire().version("fraud", "1")
    cells.recorded("kept")
    cells.recorded("full")
    cells.recorded("full")

    samples = scrape(collector)

    assert value(samples, "recordings_total", outcome="kept", **FRAUD_1) == 1
    assert value(samples, "recordings_total", outcome="full", **FRAUD_1) == 2
    assert value(samples, "recordings_total", outcome="large", **FRAUD_1) == 0


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_every_series_of_an_unloaded_version_is_scraped_once_more_and_then_gone(
    slabs: SlabDirectory, workers: FakeWorkers, now: Callable[[], float], accept: str
) -> None:
    collector = GatewayCollector(slabs, workers, dict, now, runtime_version="1.31.0")
    worker = slabs.acquire()
    worker.version("fraud", "1").answered(OK, 0.1)
    workers.said = [report(0, {1: VersionState.READY})]
    scrape(collector, accept)

    worker.retire("fraud", "1")
    workers.said = [report(0, {1: VersionState.UNAVAILABLE})]

    assert value(scrape(collector, accept), "requests_total", outcome="ok", **FRAUD_1) == 1
    assert not [labels for _, labels in scrape(collector, accept) if ("version", "1") in labels]


def test_a_version_is_loaded_as_often_as_workers_have_it_ready(
    workers: FakeWorkers, collector: GatewayCollector
) -> None:
    workers.said = [
        report(0, {1: VersionState.READY, 2: VersionState.LOADING, 3: VersionState.UNAVAILABLE}),
        report(1, {1: VersionState.READY, 2: VersionState.FAILED, 3: VersionState.UNAVAILABLE}),
    ]

    samples = scrape(collector)

    loaded = [value(samples, "version_loaded", model="fraud", version=version) for version in ("1", "2", "3")]
    assert loaded == [2, 0, None]


def test_the_memory_of_a_version_is_that_of_the_worker_where_it_takes_most(
    workers: FakeWorkers, collector: GatewayCollector
) -> None:
    told = [VersionStatus("fraud", 1, VersionState.READY, memory_bytes=size) for size in (5, 7)]
    workers.said = [WorkerReport(slot, 100 + slot, {}, {}, [status], store_up=True) for slot, status in enumerate(told)]

    samples = scrape(collector)

    assert value(samples, "version_memory_bytes", **FRAUD_1) == 7
    assert value(samples, "version_memory_bytes", model="fraud", version="2") is None


def test_the_queue_limit_of_a_version_is_that_of_the_worker_where_fewest_may_wait(
    workers: FakeWorkers, collector: GatewayCollector
) -> None:
    told: list[dict[str, dict[int, int]]] = [{"fraud": {1: 9, 2: 4}}, {"fraud": {1: 5}}, {"fraud": {1: 7}}, {}]
    workers.said = [
        WorkerReport(slot, 100 + slot, {}, {}, [], store_up=True, queue_limits=limits)
        for slot, limits in enumerate(told)
    ]

    samples = scrape(collector)

    found = [value(samples, "version_queue_limit", model="fraud", version=version) for version in ("1", "2", "3")]
    assert found == [5, 4, None]


def test_the_revision_is_that_of_the_worker_that_is_furthest_behind(
    workers: FakeWorkers, collector: GatewayCollector
) -> None:
    workers.said = [report(0, {}, revision=7), report(1, {}, revision=6)]

    assert value(scrape(collector), "route_revision", model="fraud") == 6


def test_weights_are_shares_of_one(collector: GatewayCollector) -> None:
    samples = scrape(collector)

    assert value(samples, "route_weight_ratio", **FRAUD_1) == 0.95
    assert value(samples, "route_weight_ratio", model="fraud", version="2") == 0.05


def test_the_store_is_up_only_if_it_answers_every_worker(
    slabs: SlabDirectory, collector: GatewayCollector, pass_seconds: Callable[[float], None]
) -> None:
    one, two = slabs.acquire(), slabs.acquire()
    one.store_seen(1000.0, up=True)
    two.store_seen(1000.0, up=True)
    both = value(scrape(collector), "store_up")
    pass_seconds(5)

    one.store_seen(1005.0, up=True)
    two.store_seen(1005.0, up=False)

    samples = scrape(collector)
    assert (both, value(samples, "store_up")) == (1, 0)
    assert value(samples, "route_staleness_seconds") == 5


def test_a_store_that_never_answered_is_down_and_stale_since_the_start(
    slabs: SlabDirectory, collector: GatewayCollector, pass_seconds: Callable[[float], None]
) -> None:
    slabs.acquire()
    pass_seconds(30)

    samples = scrape(collector)

    assert (value(samples, "store_up"), value(samples, "route_staleness_seconds")) == (0, 30)


def test_gauges_are_those_of_the_workers_that_live(slabs: SlabDirectory, collector: GatewayCollector) -> None:
    dead, alive = slabs.acquire(), slabs.acquire()
    for worker in (dead, alive):
        worker.traffic(1, 0.0)
        worker.connections(3)
    alive.store_seen(1000.0, up=True)
    dead.heartbeat(1000.0, 9.0)

    dead.close()

    samples = scrape(collector)
    assert value(samples, "workers") == 1
    assert value(samples, "requests_in_flight") == 1
    assert value(samples, "open_connections") == 3
    assert value(samples, "store_up") == 1
    assert value(samples, "worker_loop_lag_seconds") == 0


def test_without_workers_nothing_is_said_of_the_store(collector: GatewayCollector) -> None:
    samples = scrape(collector)

    assert value(samples, "workers") == 0
    assert value(samples, "store_up") is None
    assert value(samples, "route_staleness_seconds") is None


def test_a_loop_that_hangs_lags_by_its_silence(
    slabs: SlabDirectory, collector: GatewayCollector, pass_seconds: Callable[[float], None]
) -> None:
    slabs.acquire().heartbeat(1000.0, 0.2)
    beating = value(scrape(collector), "worker_loop_lag_seconds")

    pass_seconds(8)

    assert beating == 0.2
    assert value(scrape(collector), "worker_loop_lag_seconds") == 8 - BEAT_SECONDS


def test_refused_routes_and_damaged_slabs_are_counted(slabs: SlabDirectory, collector: GatewayCollector) -> None:
    slabs.acquire().route_refused("digest_mismatch")
    (slabs.path / "junk.slab").touch()

    samples = scrape(collector)

    assert value(samples, "route_documents_refused_total", reason="digest_mismatch") == 1
    assert value(samples, "slabs_damaged_total") == 1


def test_the_build_is_named(collector: GatewayCollector) -> None:
    [labels] = [dict(labels) for name, labels in scrape(collector) if name == "gateway_build_info"]

    assert set(labels) == {"version", "python", "onnxruntime"}
    assert labels["onnxruntime"] == "1.31.0"
    assert all(labels.values())


def test_nothing_is_scraped_before_the_first_scrape(
    slabs: SlabDirectory, workers: FakeWorkers, now: Callable[[], float]
) -> None:
    worker = slabs.acquire()
    worker.version("fraud", "1")
    worker.retire("fraud", "1")

    collector = GatewayCollector(slabs, workers, dict, now, runtime_version="1.31.0")

    assert value(scrape(collector), "requests_total", outcome="ok", **FRAUD_1) == 0


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4", "application/openmetrics-text"),
        ("application/openmetrics-text", "application/openmetrics-text"),
        ('application/openmetrics-text; version="1.0.0"', "text/plain; version=0.0.4"),
        ("text/plain; version=new", "text/plain; version=0.0.4"),
        (";=,,;version", "text/plain; version=0.0.4"),
    ],
)
def test_the_scraper_chooses_the_format(collector: GatewayCollector, accept: str, kind: str) -> None:
    page, content_type = collector.render(accept)

    assert content_type.startswith(kind)
    assert page.endswith(b"# EOF\n") == ("openmetrics" in content_type)


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
def test_the_page_follows_the_conventions(
    slabs: SlabDirectory, workers: FakeWorkers, collector: GatewayCollector, accept: str
) -> None:
    slabs.acquire().version("fraud", "1").answered(OK, 0.1)
    workers.said = [report(0, {1: VersionState.READY})]

    names = {name for name, _ in scrape(collector, accept)}

    assert all(name.startswith("gateway_") for name in names)
    assert not [name for name in names if name.endswith("_created")]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Debian's package prometheus, is not on PATH")
def test_promtool_has_no_complaint(slabs: SlabDirectory, workers: FakeWorkers, collector: GatewayCollector) -> None:
    slabs.acquire().version("fraud", "1").answered(OK, 0.1)
    workers.said = [report(0, {1: VersionState.READY})]

    checked = subprocess.run(["promtool", "check", "metrics"], input=collector.render("")[0], capture_output=True)

    assert (checked.returncode, checked.stderr) == (0, b"")
