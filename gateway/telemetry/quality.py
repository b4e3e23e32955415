"""The series of what labels said, from what the control process read of the store: of the whole fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.core.quality import DROPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client.core import Metric

    from gateway.core.quality import Quality
    from gateway.ports.labels import QualityMetrics

LABELS: Final = ("model", "version")

COUNTERS: Final = {
    "labels": ("labelled", "Rows that got a label."),
    "rewards": ("rewarded", "Answers that got a reward."),
    "remembered": ("remembered", "Answers that were remembered for labels."),
}

DROPPED: Final = "Answers, or their inputs alone, that were not, and why."

GAUGES: Final[dict[str, tuple[Callable[[Quality], float | None], str]]] = {
    "accuracy_ratio": (lambda of: of.accuracy, "Labelled rows whose class was right."),
    "precision_ratio": (lambda of: of.macro().get("precision"), "Mean of the classes' precision."),
    "recall_ratio": (lambda of: of.macro().get("recall"), "Mean of the classes' recall."),
    "f1_ratio": (lambda of: of.macro().get("f1"), "Mean of the classes' F1."),
    "calibration_error_ratio": (lambda of: of.calibration_error, "Mean distance of confidence and accuracy."),
    "log_loss": (lambda of: of.mean("sum_log_loss", "scored"), "Mean log loss of the labels' classes, nats."),
    "brier_score": (lambda of: of.mean("sum_brier", "scored"), "Mean Brier score over all classes."),
    "squared_error": (lambda of: of.mean("sum_squared", "valued"), "Mean squared error of numbers."),
    "absolute_error": (lambda of: of.mean("sum_absolute", "valued"), "Mean absolute error of numbers."),
    "reward": (lambda of: of.mean("sum_reward", "rewarded"), "Mean reward."),
    "coverage_ratio": (lambda of: of.coverage, "Remembered answers that got a label."),
    "label_delay_seconds": (lambda of: of.mean("sum_delay", "covered"), "Mean time from an answer to its label."),
}
"""Name → the figure, absent while no label tells it, and what it is."""


class QualityCollector(Collector):
    """Registers with the gateway's collector."""

    def __init__(self, board: QualityMetrics) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        qualities = [
            ((model, str(version)), quality)
            for model, versions in sorted(self._board.qualities().items())
            for version, quality in versions.items()
        ]
        for name, (kind, text) in COUNTERS.items():
            counter = CounterMetricFamily(f"gateway_quality_{name}", text, labels=LABELS)
            for key, quality in qualities:
                counter.add_metric(key, quality.count(kind))
            yield counter
        dropped = CounterMetricFamily("gateway_quality_dropped", DROPPED, labels=(*LABELS, "reason"))
        for key, quality in qualities:
            for reason, kind in DROPS.items():
                dropped.add_metric((*key, reason), quality.count(kind))
        yield dropped
        for name, (figure, text) in GAUGES.items():
            gauge = GaugeMetricFamily(f"gateway_quality_{name}", text, labels=LABELS)
            for key, quality in qualities:
                if (value := figure(quality)) is not None:
                    gauge.add_metric(key, value)
            yield gauge

    def describe(self) -> Sequence[Metric]:
        """Return nothing: asked for names at registration, the library would otherwise scrape once."""
        return ()
