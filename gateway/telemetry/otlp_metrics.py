"""Sends what ``/metrics`` shows over OTLP/HTTP as well, from the control process: the same collectors, the same counts.

Runs on a thread of its own, and imports OpenTelemetry there; a collector that is away costs a line in the log.
Names are those of ``/metrics`` without ``_total``; counters and histograms are cumulative.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from gateway import __version__
from gateway.telemetry.outbox import Complaint
from gateway.telemetry.spans import EXPORT_SECONDS, NANOSECONDS, resource, silence_exporters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry
    from prometheus_client.samples import Sample

    Labels = Mapping[str, str]

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 15.0


class MetricsSender:
    """Sends a registry's series every EVERY_SECONDS until it is closed."""

    def __init__(
        self,
        registry: CollectorRegistry,
        endpoint: str,
        *,
        every: float = EVERY_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*endpoint*: the collector's address without a path of a signal. *clock*: seconds since 1970."""
        self._registry = registry
        self._endpoint = endpoint
        self._every = every
        self._clock = clock
        self._began = clock()
        self._ending = threading.Event()
        self._exporter: Any = None
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; it may block for as long as one delivery takes to notice."""
        self._ending.set()
        if self._exporter is not None:
            self._exporter.shutdown()
        self._thread.join(EXPORT_SECONDS)

    def _run(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        silence_exporters()
        self._exporter = OTLPMetricExporter(endpoint=f"{self._endpoint}/v1/metrics", timeout=EXPORT_SECONDS)
        who, complaint = resource(), Complaint("metrics over OTLP")
        while not self._ending.wait(self._every):
            complaint.hear(is_sent=self._send(who))

    def _send(self, who: Any) -> bool:
        try:
            moments = int(self._began * NANOSECONDS), int(self._clock() * NANOSECONDS)
            return bool(self._exporter.export(_data(self._registry.collect(), who, *moments)).value == 0)
        except Exception:  # the outermost door of the thread: it must live for the next time
            log.exception("the metrics could not be sent over OTLP")
            return False


def _data(families: Iterable[Metric], who: Any, began: int, now: int) -> Any:
    """Return the families as OpenTelemetry's; *began* and *now* in nanoseconds since 1970."""
    from opentelemetry.sdk.metrics.export import Metric as Series
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    metrics = [
        Series(name=family.name, description=family.documentation, unit=_unit(family.name), data=points)
        for family in families
        if (points := _points(family, began, now)) is not None
    ]
    scope = ScopeMetrics(InstrumentationScope("gateway", __version__), metrics, schema_url="")
    return MetricsData([ResourceMetrics(who, [scope], schema_url="")])


def _unit(name: str) -> str:
    return next(
        (unit for end, unit in (("_seconds", "s"), ("_bytes", "By"), ("_ratio", "1")) if name.endswith(end)), ""
    )


def _points(family: Metric, began: int, now: int) -> Any:
    from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Histogram, Sum

    whole = AggregationTemporality.CUMULATIVE
    if family.type == "histogram":
        return Histogram(list(_histograms(family.samples, began, now)), whole)
    numbers = [_number(each, began, now) for each in family.samples]
    return Sum(numbers, whole, is_monotonic=True) if family.type == "counter" else Gauge(numbers)


def _number(sample: Sample, began: int, now: int) -> Any:
    from opentelemetry.sdk.metrics.export import NumberDataPoint

    return NumberDataPoint(dict(sample.labels), began, now, float(sample.value))


def _histograms(samples: Sequence[Sample], began: int, now: int) -> Iterator[Any]:
    """Yield one point per set of labels: Prometheus counts up to each edge, OpenTelemetry between two."""
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        key = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        if sample.name.endswith("_bucket"):
            buckets.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[key] = sample.value
    for key, found in buckets.items():
        counts = [int(found[0][1]), *(int(high - low) for (_, low), (_, high) in pairwise(found))]
        edges = [edge for edge, _ in found if edge < math.inf]
        unknown: Any = None  # the least and the greatest are not kept
        yield HistogramDataPoint(
            dict(key), began, now, int(found[-1][1]), sums.get(key, 0.0), counts, edges, unknown, unknown
        )
