"""The series of the notifications."""

from __future__ import annotations

from gateway.ports.notifications import NOTIFICATION_OUTCOMES, TargetFigures
from gateway.telemetry.notifications import NotificationCollector


def test_each_target_has_its_outcomes_what_waits_and_for_how_long() -> None:
    outcomes = {**dict.fromkeys(NOTIFICATION_OUTCOMES, 0), "delivered": 3}
    collector = NotificationCollector(lambda: {"ops": TargetFigures(outcomes, 2, 7.5)})

    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in collector.collect()
        for sample in family.samples
    }

    assert found == {
        ("gateway_notifications_total", "ops", "delivered"): 3,
        ("gateway_notifications_total", "ops", "failed"): 0,
        ("gateway_notifications_total", "ops", "given_up"): 0,
        ("gateway_notifications_total", "ops", "lost"): 0,
        ("gateway_notifications_waiting", "ops"): 2,
        ("gateway_notifications_oldest_age_seconds", "ops"): 7.5,
    }


def test_without_targets_there_is_no_series() -> None:
    assert [sample for family in NotificationCollector(dict).collect() for sample in family.samples] == []
