"""The alerts, by promtool with series made up for each, and the dashboards: what they ask is there and can be asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tools import dashboards

ROOT: Final = Path(__file__).resolve().parents[2]
ALERTS: Final = ROOT / "helm" / "gateway" / "files" / "alerts" / "gateway.yaml"
RULES: Final = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
NAMES: Final = [rule["alert"] for rule in RULES if "alert" in rule]
RUNBOOKS: Final = (ROOT / "docs" / "runbooks.md").read_text()
DOCUMENTED: Final = set(re.findall(r"`(gateway_[a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text()))

METRIC: Final = re.compile(r"\bgateway_[a-z_]+\b")
RECORDED: Final = re.compile(r"\bmodel_version:gateway_[a-z_]+:ratio_rate\w+")
HISTOGRAM: Final = re.compile(r"_(bucket|sum|count)$")

needs_promtool: Final = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed; `make programs` installs Debian's prometheus"
)

UP: Final = 'gateway_build_info{instance="a"}'
OK: Final = 'gateway_requests_total{model="m",version="2",outcome="ok"}'
BAD: Final = 'gateway_requests_total{model="m",version="2",outcome="model_error"}'
VERSION: Final = {"model": "m", "version": "2"}
HERE: Final = {"instance": "a"}


@dataclass(frozen=True)
class Case:
    """*series*: name -> values, one a minute, in promtool's notation. *at*: when the alert fires; at *calm* not yet."""

    series: dict[str, str]
    at: str
    labels: dict[str, str]
    calm: str = "0m"


CASES: Final[dict[str, Case]] = {
    "GatewayVersionFailsFast": Case({OK: "0+97x90", BAD: "0+3x90"}, "80m", VERSION),
    "GatewayVersionFailsSlowly": Case({OK: "0+99x500", BAD: "0+1x500"}, "450m", VERSION),
    "GatewayOverloaded": Case({OK.replace("ok", "overload"): "0+1x30", OK: "0+9000x30"}, "10m", VERSION, "1m"),
    "GatewayVersionFallsBack": Case(
        {'gateway_fallbacks_total{model="m",version="2",reason="error"}': "0+1x30"}, "15m", VERSION, "8m"
    ),
    "GatewayRolledBack": Case(
        {'gateway_rollbacks_total{model="m",reason="errors"}': "_x30 1+0x40"},
        "32m",
        {"model": "m", "reason": "errors"},
        "29m",
    ),
    "GatewayRolloutWaits": Case(
        {'gateway_rollout_phase{model="m",phase="hold"}': "1+0x90"}, "70m", {"model": "m", "phase": "hold"}, "50m"
    ),
    "GatewayEvidenceStalls": Case(
        {'gateway_rollout_phase{model="m",phase="step"}': "1+0x90", OK: "5+0x90"}, "70m", {"model": "m"}, "20m"
    ),
    "GatewayNotificationsWait": Case(
        {'gateway_notifications_oldest_age_seconds{target="ops"}': "0+60x30"}, "15m", {"target": "ops"}, "5m"
    ),
    "GatewayDrifted": Case(
        {'gateway_drift_columns{instance="a",model="m",version="2",state="drifted"}': "0 0 3+0x30"},
        "9m",
        VERSION,
        "5m",
    ),
    "GatewayVersionUnusual": Case(
        {'gateway_anomaly{instance="a",model="m",version="2",series="traffic"}': "0 0 1+0x30"},
        "5m",
        {**HERE, **VERSION, "series": "traffic"},
        "2m",
    ),
    "GatewayGone": Case({UP: "_x30"}, "5m", {}, "1m"),
    "GatewayStoreDown": Case({'gateway_store_up{instance="a"}': "1 1 1 0+0x30"}, "10m", HERE, "2m"),
    "GatewayRoutesStale": Case({'gateway_route_staleness_seconds{instance="a"}': "0+60x30"}, "10m", HERE, "1m"),
    "GatewayRouteRefused": Case(
        {'gateway_route_documents_refused_total{instance="a",reason="invalid"}': "0x5 1+0x20"},
        "8m",
        {**HERE, "reason": "invalid"},
        "4m",
    ),
    "GatewayVersionMissing": Case(
        {
            'gateway_version_loaded{instance="a",model="m",version="2"}': "2 2 1+0x30",
            'gateway_workers{instance="a"}': "2+0x30",
        },
        "12m",
        {**HERE, **VERSION},
        "5m",
    ),
    "GatewayWorkerCrashes": Case(
        {'gateway_version_events_total{instance="a",model="m",version="2",event="crashed"}': "0x5 1+0x20"},
        "8m",
        {**HERE, **VERSION},
        "4m",
    ),
    "GatewayWorkersDie": Case({'gateway_worker_deaths_total{instance="a"}': "0x5 1 2 2 3+0x20"}, "12m", HERE, "6m"),
    "GatewayVersionStuck": Case(
        {'gateway_version_events_total{instance="a",model="m",version="2",event="stuck"}': "0x5 1+0x20"},
        "8m",
        {**HERE, **VERSION},
        "4m",
    ),
    "GatewayWorkerLags": Case({'gateway_worker_loop_lag_seconds{instance="a"}': "0 0 0.5+0x30"}, "10m", HERE, "3m"),
}

HEALTHY: Final = {
    UP: "1+0x400",
    OK: "0+9999x400",
    BAD: "0+1x400",
    OK.replace("ok", "client_error"): "0+500x400",
    OK.replace("ok", "overload"): "0+0x400",
    'gateway_fallbacks_total{model="m",version="2",reason="error"}': "0+0x400",
    'gateway_rollbacks_total{model="m",reason="errors"}': "1+0x400",
    'gateway_rollout_phase{model="m",phase="step"}': "1+0x400",
    'gateway_rollout_phase{model="m",phase="hold"}': "1+0x50 0+0x400",
    'gateway_store_up{instance="a"}': "1+0x400",
    'gateway_route_staleness_seconds{instance="a"}': "0.5+0x400",
    'gateway_route_documents_refused_total{instance="a",reason="invalid"}': "3+0x400",
    'gateway_version_loaded{instance="a",model="m",version="2"}': "2+0x400",
    'gateway_workers{instance="a"}': "2+0x400",
    'gateway_version_events_total{instance="a",model="m",version="2",event="crashed"}': "4+0x400",
    'gateway_worker_loop_lag_seconds{instance="a"}': "0.01+0x400",
    'gateway_worker_deaths_total{instance="a"}': "0x50 1+0x400",
    'gateway_drift_columns{instance="a",model="m",version="2",state="drifted"}': "0+0x400",
    'gateway_drift_columns{instance="a",model="m",version="2",state="stable"}': "3+0x400",
    'gateway_anomaly{instance="a",model="m",version="2",series="traffic"}': "0+0x400",
    'gateway_notifications_oldest_age_seconds{target="ops"}': "1+0x400",
    'gateway_notifications_total{target="ops",outcome="given_up"}': "2+0x400",
}
"""Six hours in which nothing is wrong, though something once was."""


def objections(series: dict[str, str], alerts: list[dict[str, Any]], directory: Path) -> str:
    """Return what promtool says of *alerts* under *series*; empty where they hold."""
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": alerts,
    }
    path = directory / "test.yaml"
    path.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def fired(name: str, case: Case) -> dict[str, str]:
    """Return the labels that the alert has when it fires."""
    (rule,) = [rule for rule in RULES if rule.get("alert") == name]
    return {**rule["labels"], **case.labels}


@needs_promtool
@pytest.mark.parametrize("name", NAMES)
def test_an_alert_fires_when_it_should_and_not_before(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    (rule,) = [rule for rule in RULES if rule.get("alert") == name]
    series = {UP: "1+0x500", **case.series}

    before = objections(series, [{"eval_time": case.calm, "alertname": name, "exp_alerts": []}], tmp_path)
    silent = objections(series, [{"eval_time": case.at, "alertname": name, "exp_alerts": []}], tmp_path)

    assert before == ""
    assert re.search(r"got:\s*\[", silent), "it did not fire"
    for label, value in fired(name, case).items():
        assert f'{label}="{value}"' in silent
    assert rule["annotations"]["runbook"] in silent


@needs_promtool
def test_nothing_fires_when_nothing_is_wrong(tmp_path: Path) -> None:
    quiet = [{"eval_time": "395m", "alertname": name, "exp_alerts": []} for name in NAMES]

    assert objections(HEALTHY, quiet, tmp_path) == ""


@needs_promtool
def test_promtool_finds_nothing_in_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_every_alert_is_tried() -> None:
    assert sorted(CASES) == sorted(NAMES)


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    sections = re.findall(r"^## (\S+)$", RUNBOOKS, re.MULTILINE)

    assert sections == NAMES
    for rule in RULES:
        if "alert" in rule:
            assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"
            assert rule["labels"]["severity"] in {"page", "ticket"}


def undocumented(text: str) -> set[str]:
    """Return the metrics in *text* that docs/metrics.md does not have."""
    named = {HISTOGRAM.sub("", name) for name in METRIC.findall(RECORDED.sub("", text))}
    return named - DOCUMENTED


def queries() -> list[str]:
    return [
        target["expr"]
        for name in dashboards.DASHBOARDS
        for panel in dashboards.dashboard(name)["panels"]
        for target in panel["targets"]
    ]


def test_alerts_runbooks_and_dashboards_name_metrics_that_exist() -> None:
    assert undocumented("\n".join(rule["expr"] for rule in RULES)) == set()
    assert undocumented(RUNBOOKS) == set()
    assert undocumented("\n".join(queries())) == set()


def test_control_a_metric_that_does_not_exist_is_found() -> None:
    assert undocumented("rate(gateway_requests_totall[5m])") == {"gateway_requests_totall"}


def test_the_dashboards_are_what_their_description_gives() -> None:
    assert dashboards.main(["--check"]) == 0
    assert {path.stem for path in dashboards.DIRECTORY.glob("*.json")} == set(dashboards.DASHBOARDS)


@pytest.mark.parametrize("name", list(dashboards.DASHBOARDS))
def test_a_dashboard_can_be_imported_anywhere(name: str) -> None:
    found = dashboards.dashboard(name)

    assert found["id"] is None
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    assert {panel["datasource"]["uid"] for panel in found["panels"]} == {"${datasource}"}
    assert found["templating"]["list"][0]["type"] == "datasource"


@needs_promtool
def test_every_query_of_a_dashboard_can_be_parsed(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{place}", "expr": query.replace("$model", "m").replace("$version", ".+")}
        for place, query in enumerate(queries())
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)

    assert len(rules) > 25
    assert done.returncode == 0, done.stderr
