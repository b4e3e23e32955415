"""Asks Helm itself and Kubernetes' schemas about the chart. Runs in the environment .venv-ops, with nothing of ours.

Reads one JSON object of cases (name -> values) from the standard input and writes what came of them to the standard
output: ``{"lint": […], "cases": {name: {"objects": […], "notes": str, "problems": […]} or {"error": str}}}``.
usage: judge.py CHART KUBERNETES
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python
import kubernetes_validate
import yaml

CUSTOM = {"monitoring.coreos.com", "gateway.networking.k8s.io", "serving.kserve.io"}
"""Kinds that Kubernetes brings no schema for."""


def problems(thing: dict[str, Any], kubernetes: str) -> list[str]:
    """Return what Kubernetes would refuse in an object, strictly: unknown fields too."""
    if thing["apiVersion"].partition("/")[0] in CUSTOM:
        return []
    try:
        kubernetes_validate.validate(thing, kubernetes, strict=True)
    except kubernetes_validate.ValidationError as exc:
        return [f"{thing['kind']} {thing['metadata']['name']}: {exc}"]
    return []


def judge(chart: Any, values: dict[str, Any], kubernetes: str) -> dict[str, Any]:
    """Return what the chart renders with *values*."""
    try:
        chart.validate_schema(values)
        files = chart.render(values, name="gw", namespace="ml")
    except helm_python.errors.HelmError as exc:
        return {"error": str(exc)}
    notes = "".join(text for name, text in files.items() if name.endswith("NOTES.txt"))
    texts = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
    things = [thing for text in texts for thing in yaml.safe_load_all(text) if thing]
    return {
        "objects": things,
        "notes": notes,
        "problems": [problem for thing in things for problem in problems(thing, kubernetes)],
    }


def main() -> None:
    """Judge every case that the standard input names."""
    path, kubernetes = sys.argv[1:]
    cases = json.load(sys.stdin)
    said = helm_python.lint(path, strict=True)
    with helm_python.Chart.load(path) as chart:
        found = {name: judge(chart, values, kubernetes) for name, values in cases.items()}
    lint = [message for message in said["messages"] if message["severity"] > 1] + said["errors"]
    json.dump({"lint": lint, "cases": found}, sys.stdout)


if __name__ == "__main__":
    main()
