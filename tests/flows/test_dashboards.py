"""Dashboards and alerts over the whole way: a real gateway, Debian's Prometheus and Alertmanager, and a webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.flows.gateway_process import eventually
from tests.flows.models import request
from tests.flows.prometheus import RULES, Alertmanager, Prometheus, Webhook, needs_prometheus
from tests.flows.test_rollouts import ROUTE, Traffic, is_in, start
from tools import dashboards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

SOON = 20.0

pytestmark = needs_prometheus


@pytest.fixture
def told() -> Iterator[Webhook]:
    """Whom the alertmanager tells."""
    webhook = Webhook()
    yield webhook
    webhook.close()


@pytest.fixture
def watched(tmp_path: Path, told: Webhook) -> Iterator[Prometheus]:
    """A Prometheus with the shipped rules, whose alerts reach the webhook."""
    prometheus, alertmanager = Prometheus(tmp_path), Alertmanager(tmp_path)
    alertmanager.start(told.address)
    prometheus.start(rules=RULES, alertmanager=alertmanager.address)
    yield prometheus
    prometheus.kill()
    alertmanager.kill()


def test_a_rollback_reaches_a_webhook_and_every_panel_is_answered(
    begin: Callable[..., Gateway], watched: Prometheus, told: Webhook
) -> None:
    gateway = begin(route=ROUTE, flags=("--admin-port", str(watched.target_port)))
    for _ in range(20):
        assert gateway.ask("POST", "/v2/models/echo/infer", request([1, 2])).status == 200
    start(gateway, steps=[{"weight": 5, "for": "10m"}])
    traffic = Traffic(gateway)
    traffic.until(is_in(gateway, "step", 1), "the first step")
    traffic.fail_until(is_in(gateway, "rolled_back"), "taken back")

    def is_told() -> bool:
        return any(each["labels"]["alertname"] == "GatewayRolledBack" for each in told.alerts())

    eventually(is_told, SOON, "the webhook is told")
    (alert, *_) = [each for each in told.alerts() if each["labels"]["alertname"] == "GatewayRolledBack"]
    assert (alert["labels"]["model"], alert["labels"]["reason"]) == ("echo", "errors")
    assert alert["annotations"]["summary"] == "a canary of echo was taken back: errors"

    empty = []
    for name in dashboards.DASHBOARDS:
        for panel in dashboards.dashboard(name)["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$model", "echo").replace("$version", ".+")
                if not watched.ask(query):
                    empty.append(panel["title"])
    # These say nothing until there are labels, shadows, failures, a decision to come, 1,000 requests to compare, or a
    # latency target.
    assert set(empty) <= {
        "Accuracy", "Labelled", "Shadow pairs that disagree", "Requests to a decision",
        "Evidence, of its threshold", "Certificate (20 certifies)", "Drift, worst column",
        "Missing and out of range, worst column", "Out of the ordinary",
        "May wait, by the latency target",
    }  # fmt: skip
