"""The series of the alarms of rollouts, from what the controller knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.core.alarms import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric

    from gateway.ports.evidence import AlarmMetrics


class AlarmCollector(Collector):
    """Registers with the gateway's collector; *alarm* is a name that the plan gave."""

    def __init__(self, alarms: AlarmMetrics) -> None:
        self._alarms = alarms

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "gateway_rollout_alarm_state", "1 for the state of a rollout's alarm.", labels=("model", "alarm", "state")
        )
        ages = GaugeMetricFamily(
            "gateway_rollout_alarm_age_seconds", "Since the alarm's query was last answered.", labels=("model", "alarm")
        )
        for model, standings in sorted(self._alarms.standings().items()):
            for each in standings:
                for state in State:
                    states.add_metric((model, each.alarm.name, state.value), state is each.state)
                if each.age_seconds is not None:
                    ages.add_metric((model, each.alarm.name), each.age_seconds)
        yield from (states, ages)

    def describe(self) -> Sequence[Metric]:
        """Return nothing: asked for names at registration, the library would otherwise scrape once."""
        return ()
