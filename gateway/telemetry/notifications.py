"""The series of the notifications, from what the courier of this process knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from gateway.ports.notifications import TargetFigures


class NotificationCollector(Collector):
    """Registers with the gateway's collector; *target* is a name out of the file of webhooks."""

    def __init__(self, figures: Callable[[], Mapping[str, TargetFigures]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        counts = CounterMetricFamily(
            "gateway_notifications", "Notifications by what became of them.", labels=("target", "outcome")
        )
        waiting = GaugeMetricFamily(
            "gateway_notifications_waiting", "Notifications that wait in the outboxes.", labels=("target",)
        )
        oldest = GaugeMetricFamily(
            "gateway_notifications_oldest_age_seconds", "How long the first of them has waited.", labels=("target",)
        )
        for target, figures in sorted(self._figures().items()):
            for outcome, count in figures.outcomes.items():
                counts.add_metric((target, outcome), count)
            waiting.add_metric((target,), figures.waiting)
            oldest.add_metric((target,), figures.oldest_seconds)
        yield from (counts, waiting, oldest)

    def describe(self) -> Sequence[Metric]:
        """Return nothing: asked for names at registration, the library would otherwise scrape once."""
        return ()
