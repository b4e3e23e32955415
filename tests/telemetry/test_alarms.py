"""The series of alarms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from prometheus_client import CollectorRegistry, generate_latest

from gateway.core.alarms import Alarm, Answer, State, Watched
from gateway.telemetry.alarms import AlarmCollector

if TYPE_CHECKING:
    from gateway.ports.evidence import AlarmMetrics


def test_an_alarm_shows_its_state_and_the_age_of_its_answer_once_there_is_one() -> None:
    asked = Watched(Alarm("new", "up"), 0.0)
    answered = Watched(Alarm("old", "up == 0"), 0.0).after(Answer(()), 4.0)
    known = {"fraud": (asked.standing(7.0), answered.standing(7.0))}
    registry = CollectorRegistry()
    registry.register(AlarmCollector(cast("AlarmMetrics", SimpleNamespace(standings=lambda: known))))

    lines = {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}

    assert {line for line in lines if line.endswith(" 1.0")} == {
        'gateway_rollout_alarm_state{alarm="new",model="fraud",state="unanswered"} 1.0',
        'gateway_rollout_alarm_state{alarm="old",model="fraud",state="quiet"} 1.0',
    }
    assert len(lines) == 2 * len(State) + 1
    assert 'gateway_rollout_alarm_age_seconds{alarm="old",model="fraud"} 3.0' in lines
