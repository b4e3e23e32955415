"""The series of rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from gateway.core.outcomes import OUTCOMES
from gateway.core.phases import Phase
from gateway.core.verdicts import Certificate, Kind, Verdict
from gateway.ports.evidence import RolloutGauges
from gateway.telemetry.failure_rate import failure_rate
from gateway.telemetry.rollouts import RolloutCollector
from gateway.telemetry.slab import SlabDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERDICT = Verdict(
    Kind.INCONCLUSIVE, (), Certificate(3.5, 20.0, 0.01, 1, 90), {"errors": 2.0, "total": 1.5},
    {"errors": 200.0, "total": 100.0}, requests_to_decision=310,
)  # fmt: skip


class Known:
    """Implements ``ports.RolloutMetrics``."""

    def __init__(self, **gauges: RolloutGauges) -> None:
        self._gauges = gauges

    def gauges(self) -> Mapping[str, RolloutGauges]:
        return self._gauges

    def rollbacks(self) -> Mapping[tuple[str, str], int]:
        return {("fraud", "errors"): 2, ("fraud", "latency"): 0}


def lines(**gauges: RolloutGauges) -> set[str]:
    registry = CollectorRegistry()
    registry.register(RolloutCollector(Known(**gauges)))
    return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}


def test_exactly_one_phase_of_a_rollout_is_1() -> None:
    shown = [line for line in lines(fraud=RolloutGauges(Phase.HOLD)) if "rollout_phase" in line]

    assert len(shown) == len(Phase)
    assert [line for line in shown if line.endswith(" 1.0")] == [
        'gateway_rollout_phase{model="fraud",phase="hold"} 1.0'
    ]


def test_a_verdict_is_shown_with_what_it_is_measured_against() -> None:
    shown = lines(fraud=RolloutGauges(Phase.STEP, {2: VERDICT}))

    assert {
        'gateway_rollout_e_value{guard="errors",model="fraud",version="2"} 2.0',
        'gateway_rollout_e_threshold{guard="total",model="fraud",version="2"} 100.0',
        'gateway_rollout_certificate_e_value{model="fraud",version="2"} 3.5',
        'gateway_rollout_requests_to_decision{model="fraud",version="2"} 310.0',
    } <= shown


def test_a_rollout_that_nobody_judges_here_shows_no_e_values() -> None:
    assert not [line for line in lines(fraud=RolloutGauges(Phase.SUCCEEDED)) if "e_value" in line]


def test_rollbacks_are_counted_by_their_guard() -> None:
    assert 'gateway_rollbacks_total{model="fraud",reason="errors"} 2.0' in lines()


def test_the_failure_rate_of_a_version_counts_what_another_answered_for_it(tmp_path: Path) -> None:
    slab = (slabs := SlabDirectory(tmp_path)).acquire()
    cells = slab.version("fraud", "1")
    for outcome, count in (("ok", 97), ("client_error", 50), ("model_error", 1), ("overload", 9)):
        for _ in range(count):
            cells.answered(OUTCOMES.index(outcome), 0.001)
    for reason in ("error", "invalid", "unavailable", "breaker"):
        cells.fell_back(reason)

    assert failure_rate(slabs, "fraud", 1) == 0.03
    assert failure_rate(slabs, "fraud", 2) == 0.0
    slab.close()
