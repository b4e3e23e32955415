"""Every alert over the whole way: a fault on a real gateway, Debian's Prometheus and Alertmanager, and a webhook.

The rules are the shipped ones, but that each alert waits for a second instead of minutes.
"""

from __future__ import annotations

import itertools
import math
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.flows.conftest import close_all, prepare, seeded
from tests.flows.faults import CANCER, CONTENTS, FAULTS, MAX_QUEUE, Fault, Stage, lay_out, lay_out_reference
from tests.flows.gateway_process import eventually
from tests.flows.models import request
from tests.flows.prometheus import RULES, Alertmanager, Prometheus, Webhook, hastened, needs_prometheus
from tests.flows.test_notifications import webhooks
from tools import dashboards

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

READY_SECONDS: Final = 30.0
QUIET_SECONDS: Final = 10.0
SCRAPED: Final = "3s"
"""How often, and within what time: on a machine as busy as one that runs all tests a page of metrics takes a second."""
CALM_SECONDS: Final = 60.0
"""So soon an alert that an earlier fault fired as well, as a busy machine does, has ended."""
QUICK: Final = {"GatewayVersionFailsFast", "GatewayGone"}
"""Two that are soon told: one by what is scraped, over the recorded ratios, and one by what is not there."""

pytestmark = needs_prometheus


def alerts(path: Path) -> list[dict[str, Any]]:
    """Return the alerts of a file of rules."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"] if "alert" in rule]


class Watched:
    """A gateway with what the faults need, watched by a Prometheus whose alerts reach a webhook."""

    def __init__(self, directory: Path) -> None:
        self.told, self.notified = Webhook(), Webhook()
        self.prometheus, self.alertmanager = Prometheus(directory), Alertmanager(directory)
        self._directory = directory
        self._stage: Stage | None = None

    def start(self, contents: Collection[str], *, compared: bool) -> Stage:
        """Start everything, with these models and, where rows are to be *compared*, one that has a reference."""
        models, routes = lay_out(self._directory, contents)
        rows = lay_out_reference(models, self._directory) if compared else []
        self.alertmanager.start(self.told.address)
        targets = webhooks(self._directory, self.notified.port)
        gateway = prepare(self._directory, models=models, routes=routes, flags=[
            "--admin-port", str(self.prometheus.target_port), "--webhooks", str(targets), "--max-queue", str(MAX_QUEUE),
        ])  # fmt: skip
        self._stage = Stage(gateway, self.notified, itertools.cycle(rows))
        gateway.start()
        eventually(lambda: seeded(gateway), READY_SECONDS, "every route is in the store and on every worker")
        rules = hastened(self._directory)
        self.prometheus.start(rules=rules, alertmanager=self.alertmanager.address, every=SCRAPED)
        return self._stage

    def close(self) -> None:
        """End all of it, whatever a fault left broken."""
        self.prometheus.kill()
        self.alertmanager.kill()
        self.told.close()
        self.notified.close()
        if self._stage is not None:
            for fault in FAULTS:
                fault.mend(self._stage)
            close_all([self._stage.gateway])


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path)
    yield found
    found.close()


def stage(fault: Fault, on: Stage, told: Webhook) -> dict[str, float]:
    """Break something, and return alert → the seconds until the webhook was told of it, infinite where it was not."""

    def firing() -> set[str]:
        return {name for name, labels in fault.alerts.items() if is_firing(told, name, labels)}

    fault.wait(on)
    eventually(lambda: not firing(), CALM_SECONDS, f"no alert before its fault: {fault.what}")
    began, seconds = time.monotonic(), dict.fromkeys(fault.alerts, math.inf)
    fault.begin(on)
    while math.inf in seconds.values() and time.monotonic() < began + fault.within:
        fault.go_on(on)
        time.sleep(0.02)
        for name in firing():
            seconds[name] = min(seconds[name], time.monotonic() - began)
    fault.mend(on)
    return seconds


def test_the_hastened_rules_are_the_shipped_ones_but_for_their_patience(tmp_path: Path) -> None:
    copies = alerts(hastened(tmp_path))

    assert {rule["for"] for rule in copies if "for" in rule} == {"1s"}
    assert [rule | {"for": ""} for rule in copies] == [rule | {"for": ""} for rule in alerts(RULES)]


def test_every_alert_has_a_fault_and_every_fault_an_alert() -> None:
    staged = [name for fault in FAULTS for name in fault.alerts]

    assert sorted(staged) == sorted(rule["alert"] for rule in alerts(RULES))


@pytest.mark.long
def test_a_version_that_fails_and_a_gateway_that_is_gone_reach_a_webhook(watched: Watched) -> None:
    on = watched.start(["fails"], compared=False)

    told = [stage(fault, on, watched.told) for fault in FAULTS if QUICK & fault.alerts.keys()]

    assert [name for seconds in told for name, waited in seconds.items() if waited == math.inf] == []


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_every_alert_reaches_a_webhook_in_its_fault_and_every_panel_draws_something(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    on, began = watched.start(CONTENTS, compared=True), time.time()
    be_healthy(on)
    assert watched.told.alerts() == []

    untold = []
    for fault in FAULTS:
        if "GatewayGone" in fault.alerts:
            assert unanswered(watched.prometheus, began) == []
        for name, seconds in stage(fault, on, watched.told).items():
            untold += [name] if seconds == math.inf else []
            with capsys.disabled():
                print(f"\n{name:<26} {fault.what:<42} {seconds:6.1f} s", end="")

    assert untold == []
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in alerts(RULES)}
    assert {each["labels"]["alertname"]: each["labels"]["severity"] for each in watched.told.alerts()} == severities


def be_healthy(on: Stage) -> None:
    """Answer, label and copy requests, and wait until the rules had looked at that a few times."""
    until, number = time.monotonic() + QUIET_SECONDS, 0
    while time.monotonic() < until:
        number += 1
        for model in ("echo", "falls", "shadowed"):
            body = {"id": f"{model}-{number}", **request([0, 0])}
            assert on.gateway.ask("POST", f"/v2/models/{model}/infer", body).status == 200
        on.gateway.ask("POST", "/v2/models/shadowed/feedback", {"id": f"shadowed-{number}", "label": 1})
        time.sleep(0.05)


def is_firing(told: Webhook, name: str, labels: Mapping[str, str]) -> bool:
    return any(named.items() >= {"alertname": name, **labels}.items() for named in told.firing())


def unanswered(prometheus: Prometheus, began: float) -> list[str]:
    """Return the queries of the dashboards that drew no point for any model since *began*."""
    models = ("echo", "fails", "falls", "canary", "shadowed", CANCER)
    panels = [(name, panel) for name in dashboards.DASHBOARDS for panel in dashboards.dashboard(name)["panels"]]
    queries = [(name, panel["title"], target["expr"]) for name, panel in panels for target in panel["targets"]]
    return [
        f"{name}: {title}: {query}"
        for name, title, query in queries
        if not any(draws(prometheus, query, model, began) for model in models)
    ]


def draws(prometheus: Prometheus, query: str, model: str, began: float) -> bool:
    """Say whether a panel shows a number of *model*."""
    written = query.replace("$model", model).replace("$version", ".+")
    series = prometheus.graph(written, began, time.time())
    return any(math.isfinite(float(value)) for each in series for _, value in each["values"])
