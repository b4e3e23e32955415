"""The series of drift and of anomalies, from what the control process knows of them.

Bounded: a version has at most as many columns as a reference may have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.core.anomalies import SERIES
from gateway.core.drift import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric

    from gateway.ports.metrics import DriftMetrics

LABELS: Final = ("model", "version")


class DriftCollector(Collector):
    """Registers with the gateway's collector."""

    def __init__(self, board: DriftMetrics) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        rows = CounterMetricFamily(
            "gateway_drift_rows", "Sampled requests that were compared, one row each.", labels=LABELS
        )
        for model, versions in sorted(self._board.rows().items()):
            for version, many in versions.items():
                rows.add_metric((model, str(version)), many)
        yield rows
        yield from self._of_columns()
        unusual = GaugeMetricFamily(
            "gateway_anomaly", "1 while the version's figure is out of the ordinary.", labels=(*LABELS, "series")
        )
        for model, found in sorted(self._board.anomalies().items()):
            for version, anomalies in found.items():
                names = {each.series for each in anomalies}
                for series in SERIES:
                    unusual.add_metric((model, str(version), series.name), series.name in names)
        yield unusual

    def describe(self) -> Sequence[Metric]:
        """Return nothing: asked for names at registration, the library would otherwise scrape once."""
        return ()

    def _of_columns(self) -> Iterator[Metric]:
        index = GaugeMetricFamily(
            "gateway_drift_psi", "Population stability index of the last rows against the reference.",
            labels=(*LABELS, "column"),
        )  # fmt: skip
        states = GaugeMetricFamily(
            "gateway_drift_columns", "Columns of the version in each state of drift.", labels=(*LABELS, "state")
        )
        missing = GaugeMetricFamily(
            "gateway_drift_missing_ratio", "Share of the last rows of which the column is missing.",
            labels=(*LABELS, "column"),
        )  # fmt: skip
        outside = GaugeMetricFamily(
            "gateway_drift_outside_ratio", "Share of the last rows outside all that the reference saw.",
            labels=(*LABELS, "column"),
        )  # fmt: skip
        for model, versions in sorted(self._board.findings().items()):
            for version, findings in versions.items():
                key = model, str(version)
                for each in findings:
                    index.add_metric((*key, each.column), each.psi)
                    for family, rate in ((missing, each.missing), (outside, each.outside)):
                        if rate is not None:
                            family.add_metric((*key, each.column), rate.now)
                for state in State:
                    states.add_metric((*key, state.value), sum(each.state is state for each in findings))
        yield from (index, states, missing, outside)
