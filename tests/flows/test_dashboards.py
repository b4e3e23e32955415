"""Dashboards and alerts over the whole way: a real gateway, Debian's Prometheus and Alertmanager, and a webhook."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.gateway_process import ROOT, eventually
from tests.flows.models import request
from tests.flows.prometheus import Alertmanager, Prometheus
from tests.flows.test_rollouts import ROUTE, Traffic, is_in, start
from tools import dashboards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

RULES = ROOT / "helm" / "gateway" / "files" / "alerts" / "gateway.yaml"
SOON = 20.0

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("prometheus-alertmanager") is None,
    reason="prometheus or its alertmanager is not installed: `make programs` installs them where it may",
)


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a webhook, and the alerts that it was told of."""
    alerts: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            alerts.extend(json.loads(self.rfile.read(int(self.headers["content-length"])))["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", alerts
    server.shutdown()
    server.server_close()


@pytest.fixture
def watched(tmp_path: Path, told: tuple[str, Any]) -> Iterator[Prometheus]:
    """A Prometheus with the shipped rules, whose alerts reach the webhook."""
    prometheus, alertmanager = Prometheus(tmp_path), Alertmanager(tmp_path)
    alertmanager.start(told[0])
    prometheus.start(rules=RULES, alertmanager=alertmanager.address)
    yield prometheus
    prometheus.kill()
    alertmanager.kill()


def test_a_rollback_reaches_a_webhook_and_every_panel_is_answered(
    begin: Callable[..., Gateway], watched: Prometheus, told: tuple[str, list[dict[str, Any]]]
) -> None:
    gateway = begin(route=ROUTE, flags=("--admin-port", str(watched.target_port)))
    for _ in range(20):
        assert gateway.ask("POST", "/v2/models/echo/infer", request([1, 2])).status == 200
    start(gateway, steps=[{"weight": 5, "for": "10m"}])
    traffic = Traffic(gateway)
    traffic.until(is_in(gateway, "step", 1), "the first step")
    traffic.fail_until(is_in(gateway, "rolled_back"), "taken back")

    def is_told() -> bool:
        return any(each["labels"]["alertname"] == "GatewayRolledBack" for each in told[1])

    eventually(is_told, SOON, "the webhook is told")
    (alert, *_) = [each for each in told[1] if each["labels"]["alertname"] == "GatewayRolledBack"]
    assert (alert["labels"]["model"], alert["labels"]["reason"]) == ("echo", "errors")
    assert alert["annotations"]["summary"] == "a canary of echo was taken back: errors"

    empty = []
    for name in dashboards.DASHBOARDS:
        for panel in dashboards.dashboard(name)["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$model", "echo").replace("$version", ".+")
                if not watched.ask(query):
                    empty.append(panel["title"])
    # These say nothing until there are labels, shadows, failures, a decision to come, or 1,000 requests to compare.
    assert set(empty) <= {
        "Accuracy", "Labelled", "Shadow pairs that disagree", "Requests to a decision",
        "Evidence, of its threshold", "Certificate (20 certifies)", "Drift, worst column",
        "Missing and out of range, worst column", "Out of the ordinary",
    }  # fmt: skip
