"""The series of the rollouts, from what the control process knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.core.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from gateway.core.verdicts import Verdict
    from gateway.ports.evidence import RolloutMetrics

GUARD_LABELS = ("model", "version", "guard")


class RolloutCollector(Collector):
    """Registers with the gateway's collector; *version* is a canary, *guard* one of the plan's or ``total``."""

    def __init__(self, rollouts: RolloutMetrics) -> None:
        self._rollouts = rollouts

    def collect(self) -> Iterator[Metric]:
        gauges = self._rollouts.gauges()
        phases = GaugeMetricFamily(
            "gateway_rollout_phase", "1 for the phase in which the last rollout is.", labels=("model", "phase")
        )
        for model, gauge in sorted(gauges.items()):
            for phase in Phase:
                phases.add_metric((model, phase.value), phase is gauge.phase)
        yield phases
        judged = {
            (model, str(version)): verdict
            for model, gauge in sorted(gauges.items())
            for version, verdict in gauge.verdicts.items()
        }
        yield from _of_verdicts(judged)
        taken_back = CounterMetricFamily(
            "gateway_rollbacks", "Canaries that were taken back, by the guard.", labels=("model", "reason")
        )
        for key, count in sorted(self._rollouts.rollbacks().items()):
            taken_back.add_metric(key, count)
        yield taken_back

    def describe(self) -> Sequence[Metric]:
        """Return nothing: asked for names at registration, the library would otherwise scrape once."""
        return ()


def _of_verdicts(judged: Mapping[tuple[str, str], Verdict]) -> Iterator[Metric]:
    e_values = GaugeMetricFamily("gateway_rollout_e_value", "Evidence against the canary.", labels=GUARD_LABELS)
    text = "The e-value from which the guard takes the canary back."
    thresholds = GaugeMetricFamily("gateway_rollout_e_threshold", text, labels=GUARD_LABELS)
    certificates = GaugeMetricFamily(
        "gateway_rollout_certificate_e_value", "Evidence that the canary is good.", labels=GUARD_LABELS[:2]
    )
    needed = GaugeMetricFamily(
        "gateway_rollout_requests_to_decision", "Canary requests that a decision still takes.", labels=GUARD_LABELS[:2]
    )
    for key, verdict in judged.items():
        for guard, value in verdict.e_values.items():
            e_values.add_metric((*key, guard), value)
            thresholds.add_metric((*key, guard), verdict.thresholds[guard])
        certificates.add_metric(key, verdict.certificate.e_value)
        if verdict.requests_to_decision is not None:
            needed.add_metric(key, verdict.requests_to_decision)
    yield from (e_values, thresholds, certificates, needed)
