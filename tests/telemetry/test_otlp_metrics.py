"""What /metrics shows, as a collector of OpenTelemetry gets it over HTTP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.telemetry.otlp_metrics import MetricsSender
from tests.telemetry.collecting import OtlpCollector, attributes

if TYPE_CHECKING:
    from typing import Any

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry is not installed: it is in the extra `otel`")

CUMULATIVE = 2


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    requests = Counter("gateway_requests", "Requests.", ["model", "outcome"], registry=made)
    requests.labels("fraud", "ok").inc(3)
    Gauge("gateway_version_memory_bytes", "Memory.", registry=made).set(7)
    seconds = Histogram("gateway_request_duration_seconds", "Time.", ["model"], buckets=(0.1, 1.0), registry=made)
    for each in (0.05, 0.5, 0.5, 5.0):
        seconds.labels("fraud").observe(each)
    return made


def received(registry: CollectorRegistry, collector: OtlpCollector) -> dict[str, Any]:
    sender = MetricsSender(registry, collector.endpoint, every=0.05)
    until = time.monotonic() + 10
    while not collector.metrics() and time.monotonic() < until:
        time.sleep(0.02)
    sender.close()
    return collector.metrics()


def test_counts_values_and_buckets_are_those_of_the_scrape(registry: CollectorRegistry) -> None:
    with OtlpCollector() as collector:
        found = received(registry, collector)

    counter = found["gateway_requests"].sum
    point = next(
        each for each in counter.data_points if attributes(each).get("outcome") == "ok" and each.as_double == 3
    )
    assert attributes(point) == {"model": "fraud", "outcome": "ok"}
    assert (counter.is_monotonic, counter.aggregation_temporality) == (True, CUMULATIVE)
    assert found["gateway_version_memory_bytes"].gauge.data_points[0].as_double == 7
    [histogram] = found["gateway_request_duration_seconds"].histogram.data_points
    assert list(histogram.explicit_bounds) == [0.1, 1.0]
    assert list(histogram.bucket_counts) == [1, 2, 1]
    assert (histogram.count, histogram.sum) == (4, pytest.approx(6.05))


def test_units_are_told(registry: CollectorRegistry) -> None:
    with OtlpCollector() as collector:
        found = received(registry, collector)

    assert found["gateway_request_duration_seconds"].unit == "s"
    assert found["gateway_version_memory_bytes"].unit == "By"


def test_a_collector_that_refuses_is_complained_about_once_and_does_not_hold_up_the_end(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    with OtlpCollector(status=400) as collector:
        sender = MetricsSender(registry, collector.endpoint, every=0.02)
        assert collector.asked.wait(10)
        time.sleep(0.3)
        began = time.monotonic()
        sender.close()

    assert time.monotonic() - began < 2.0
    assert sum("cannot be delivered" in message for message in caplog.messages) == 1
