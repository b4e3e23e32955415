"""Write the Grafana dashboards from one description, so that they look and behave alike.

    python -m tools.dashboards [--check]

A panel is a title, a unit and its queries; a row is up to four panels side by side. The classic JSON form of Grafana
(schemaVersion 39): https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = Path(__file__).resolve().parent.parent / "helm" / "gateway" / "files" / "dashboards"
WIDTH: Final = 24
HEIGHT: Final = 8
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

FAILED: Final = 'outcome=~"model_error|timeout|gateway_error|overload"'
OF_MODEL: Final = 'model="$model"'
CHOSEN: Final = f'{OF_MODEL},version=~"$version"'


@dataclass(frozen=True, slots=True)
class Panel:
    """*queries*: (PromQL, legend). *unit*: Grafana's name of it: ``reqps``, ``percentunit``, ``s``, ``short``."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


Rows = tuple[tuple[Panel, ...], ...]


def graph(title: str, unit: str, query: str, legend: str) -> Panel:
    """Return a panel of lines over time."""
    return Panel(title, unit, ((query, legend),))


def figure(title: str, unit: str, query: str, legend: str) -> Panel:
    """Return a panel of the last value."""
    return Panel(title, unit, ((query, legend),), "stat")


def rate(counter: str, where: str, by: str) -> str:
    """Return the query of a counter's growth per second over five minutes."""
    return f"sum by ({by}) (rate({counter}{{{where}}}[5m]))"


def quantile(q: float, histogram: str, where: str, by: str) -> str:
    """Return the query of a quantile of a histogram over five minutes."""
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({histogram}_bucket{{{where}}}[5m])))"


def highest(gauge: str, where: str, by: str) -> str:
    """Return the query of what every replica shows alike."""
    return f"max by ({by}) ({gauge}{{{where}}})"


def overview() -> Rows:
    """Return the rows about everything that is served."""
    failed = f"sum(rate(gateway_requests_total{{{FAILED}}}[5m])) / sum(rate(gateway_requests_total[5m]))"
    return (
        (
            figure("Requests", "reqps", "sum(rate(gateway_requests_total[5m]))", "all"),
            figure("Failed", "percentunit", failed, "all"),
            figure("Workers", "short", "sum(gateway_workers)", "workers"),
            figure("Store", "short", "min(gateway_store_up)", "up"),
        ),
        (
            graph("Requests by model", "reqps", rate("gateway_requests_total", "", "model"), "{{model}}"),
            graph(
                "Failures", "reqps", rate("gateway_requests_total", FAILED, "model, outcome"), "{{model}} {{outcome}}"
            ),
            graph("p99", "s", quantile(0.99, "gateway_request_duration_seconds", "", "model"), "{{model}}"),
        ),
        (
            graph(
                "Rollouts",
                "short",
                highest("gateway_rollout_phase", "", "model, phase") + " == 1",
                "{{model}} {{phase}}",
            ),
            graph(
                "Taken back", "short", highest("gateway_rollbacks_total", "", "model, reason"), "{{model}} {{reason}}"
            ),
            graph("Fallbacks", "reqps", rate("gateway_fallbacks_total", "", "model, version"), "{{model}}/{{version}}"),
        ),
        (
            graph("In flight", "short", highest("gateway_requests_in_flight", "", "instance"), "{{instance}}"),
            graph("Connections", "short", highest("gateway_open_connections", "", "instance"), "{{instance}}"),
            graph("Loop lag", "s", highest("gateway_worker_loop_lag_seconds", "", "instance"), "{{instance}}"),
            graph(
                "Staleness of routes", "s", highest("gateway_route_staleness_seconds", "", "instance"), "{{instance}}"
            ),
        ),
    )


def of_a_model() -> Rows:
    """Return the rows about one model's versions."""
    rows = "gateway_batch_rows"
    mean_rows = f"{rate(rows + '_sum', CHOSEN, 'version')} / {rate(rows + '_count', CHOSEN, 'version')}"
    differ, agree = (
        rate(f"gateway_shadow_{name}_total", CHOSEN, "version") for name in ("disagreements", "agreements")
    )
    latency = tuple(
        (quantile(q, "gateway_request_duration_seconds", CHOSEN, "version"), f"{{{{version}}}} {name}")
        for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )
    failures = rate("gateway_requests_total", f"{CHOSEN},{FAILED}", "version, outcome")
    strange = tuple(
        (highest(f"gateway_drift_{name}_ratio", CHOSEN, "version"), f"{{{{version}}}} {name}")
        for name in ("missing", "outside")
    )
    events = f"sum by (version, event) (increase(gateway_version_events_total{{{CHOSEN}}}[5m]))"
    return (
        (
            graph("Requests", "reqps", rate("gateway_requests_total", CHOSEN, "version"), "{{version}}"),
            graph(
                "Share as routed",
                "percentunit",
                highest("gateway_route_weight_ratio", CHOSEN, "version"),
                "{{version}}",
            ),
            graph("Failures", "reqps", failures, "{{version}} {{outcome}}"),
        ),
        (
            Panel("Latency", "s", latency),
            graph(
                "Inference p95",
                "s",
                quantile(0.95, "gateway_inference_duration_seconds", CHOSEN, "version"),
                "{{version}}",
            ),
            graph("Queue p95", "s", quantile(0.95, "gateway_queue_duration_seconds", CHOSEN, "version"), "{{version}}"),
            graph(
                "May wait, by the latency target",
                "short",
                f"min by (version) (gateway_version_queue_limit{{{CHOSEN}}})",
                "{{version}}",
            ),
        ),
        (
            graph("Rows in a run, mean", "short", mean_rows, "{{version}}"),
            graph("Rare events", "short", events, "{{version}} {{event}}"),
            graph(
                "Loaded on workers", "short", f"sum by (version) (gateway_version_loaded{{{CHOSEN}}})", "{{version}}"
            ),
        ),
        (
            graph(
                "Accuracy", "percentunit", highest("gateway_quality_accuracy_ratio", CHOSEN, "version"), "{{version}}"
            ),
            graph(
                "Labelled", "percentunit", highest("gateway_quality_coverage_ratio", CHOSEN, "version"), "{{version}}"
            ),
            graph("Shadow pairs that disagree", "percentunit", f"{differ} / ({differ} + {agree})", "{{version}}"),
        ),
        (
            graph("Drift, worst column", "short", highest("gateway_drift_psi", CHOSEN, "version"), "{{version}} PSI"),
            Panel("Missing and out of range, worst column", "percentunit", strange),
            graph(
                "Out of the ordinary",
                "short",
                highest("gateway_anomaly", CHOSEN, "version, series"),
                "{{version}} {{series}}",
            ),
        ),
    )


def of_a_rollout() -> Rows:
    """Return the rows about the rollout of one model."""
    evidence, threshold = (
        highest(f"gateway_rollout_e_{name}", CHOSEN, "version, guard") for name in ("value", "threshold")
    )
    needed = highest("gateway_rollout_requests_to_decision", CHOSEN, "version")
    certificate = highest("gateway_rollout_certificate_e_value", CHOSEN, "version")
    failures = rate("gateway_fallbacks_total", CHOSEN, "version, reason")
    return (
        (
            figure("Phase", "short", highest("gateway_rollout_phase", OF_MODEL, "phase") + " == 1", "{{phase}}"),
            figure("Requests to a decision", "short", needed, "{{version}}"),
            figure("Taken back", "short", highest("gateway_rollbacks_total", OF_MODEL, "reason"), "{{reason}}"),
        ),
        (
            graph("Evidence, of its threshold", "percentunit", f"{evidence} / {threshold}", "{{version}} {{guard}}"),
            graph("Certificate (20 certifies)", "short", certificate, "{{version}}"),
        ),
        (
            graph(
                "Share as routed",
                "percentunit",
                highest("gateway_route_weight_ratio", CHOSEN, "version"),
                "{{version}}",
            ),
            graph("Failures before fallback", "reqps", failures, "{{version}} {{reason}}"),
            graph(
                "Inference p99",
                "s",
                quantile(0.99, "gateway_inference_duration_seconds", CHOSEN, "version"),
                "{{version}}",
            ),
        ),
    )


DASHBOARDS: Final[dict[str, tuple[str, Rows]]] = {
    "overview": ("Gateway: overview", overview()),
    "model": ("Gateway: a model", of_a_model()),
    "rollout": ("Gateway: a rollout", of_a_rollout()),
}


def dashboard(name: str) -> dict[str, Any]:
    """Return one dashboard as Grafana reads it."""
    title, rows = DASHBOARDS[name]
    return {
        "annotations": {"list": []},
        "editable": True,
        "graphTooltip": 1,
        "id": None,
        "links": [],
        "panels": _panels(rows),
        "refresh": "10s",
        "schemaVersion": 39,
        "tags": ["gateway"],
        "templating": {"list": _variables(chosen=name != "overview")},
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "title": title,
        "uid": f"canary-gateway-{name}",
        "version": 1,
    }


def text(name: str) -> str:
    """Return the file of a dashboard."""
    return json.dumps(dashboard(name), indent=2) + "\n"


def _variables(*, chosen: bool) -> list[dict[str, Any]]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    if not chosen:
        return [source]
    return [
        source,
        _labels("model", "label_values(gateway_route_revision, model)", several=False),
        _labels("version", 'label_values(gateway_version_loaded{model="$model"}, version)', several=True),
    ]


def _labels(name: str, query: str, *, several: bool) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "label": name.capitalize(),
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 3,
        "multi": several,
        "includeAll": several,
        **({"allValue": ".+", "current": {"text": "All", "value": "$__all"}} if several else {}),
    }


def _panels(rows: Rows) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    for line, row in enumerate(rows):
        for place, panel in enumerate(row):
            width = WIDTH // len(row)
            where = {"h": HEIGHT, "w": width, "x": place * width, "y": line * HEIGHT}
            panels.append(_panel(panel, len(panels) + 1, where))
    return panels


def _panel(panel: Panel, number: int, where: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": DATASOURCE,
        "gridPos": where,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": DATASOURCE, "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or say which ones are not what this description gives."""
    parser = argparse.ArgumentParser(description="Write the Grafana dashboards.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    checks = parser.parse_args(arguments).check
    stale = [name for name in DASHBOARDS if not _is_current(name)]
    for name in stale:
        if checks:
            print(f"{name}.json is not what tools/dashboards.py gives; run python -m tools.dashboards", file=sys.stderr)
        else:
            DIRECTORY.mkdir(parents=True, exist_ok=True)
            (DIRECTORY / f"{name}.json").write_text(text(name))
    return int(checks and bool(stale))


def _is_current(name: str) -> bool:
    path = DIRECTORY / f"{name}.json"
    return path.exists() and path.read_text() == text(name)


if __name__ == "__main__":
    sys.exit(main())
