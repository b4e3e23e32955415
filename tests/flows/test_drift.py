"""Drift of a shipped model: rows that are shifted are told of within seconds, and rows that are not are not."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway.cli.main import main
from tests.flows import metrics
from tests.flows.gateway_process import ROOT, Gateway, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

datasets = pytest.importorskip("sklearn.datasets", reason="the rows are scikit-learn's")
pytest.importorskip("pandas", reason="tables are read with the `convert` extra")

MODEL: Final = "breast-cancer"
ROWS: Final = 130
SHIFTED: Final = 60
TOLD_SECONDS: Final = 10.0
ROLLOUT: Final = {
    "candidate": "2", "steps": [{"weight": 50, "for": "1h"}], "guards": {"latency": {"enforce": "off"}},
}  # fmt: skip


def ask(gateway: Gateway, rows: Sequence[Sequence[float]]) -> None:
    for row in rows:
        tensor = {"name": "input", "shape": [1, 30], "datatype": "FP32", "data": list(row)}
        answer = gateway.ask("POST", f"/v2/models/{MODEL}/versions/1/infer", {"inputs": [tensor]})
        assert answer.status == 200, answer.json()


def ask_until(gateway: Gateway, rows: Iterator[Sequence[float]], compared: int) -> None:
    """Ask on until so many rows more were compared: of what comes at once only a part is."""
    before = drift_of(gateway)["rows"]
    until = time.monotonic() + TOLD_SECONDS
    while drift_of(gateway)["rows"] < before + compared:
        assert time.monotonic() < until, "rows are not compared"
        ask(gateway, list(itertools.islice(rows, 40)))


def drift_of(gateway: Gateway) -> dict[str, Any]:
    """Return what is known of version 1."""
    answer = gateway.ask("GET", f"/api/v1/models/{MODEL}/drift", base=gateway.admin)
    assert answer.status == 200
    found: Iterator[dict[str, Any]] = (each for each in answer.json()["versions"] if each["version"] == "1")
    return next(found, {"rows": 0, "drifted": False, "reasons": []})


def phase_of(gateway: Gateway) -> tuple[str, str]:
    now = gateway.ask("GET", f"/api/v1/models/{MODEL}/rollouts/current", base=gateway.admin).json()
    return now["phase"], json.dumps(now)


@pytest.mark.timeout(120)
def test_shifted_rows_are_told_of_and_hold_a_rollout_and_unshifted_ones_are_not(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models" / MODEL, models / MODEL)
    frame = datasets.load_breast_cancer(as_frame=True).frame.sample(frac=1.0, random_state=7)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    command = ["models", "evaluate", MODEL, "--versions", "1", "--models", str(models), "--target", "target"]
    assert main([*command, "--data", str(tmp_path / "rows.csv")]) == 0
    routes = tmp_path / "routes"
    routes.mkdir()
    (routes / "route.yaml").write_text(f'model: {MODEL}\nsplit: {{"1": 100}}\ndrift: {{pause: true}}\n')
    gateway = begin(models=models, routes=routes, workers=1)
    rows = [row[:30] for row in frame.to_numpy().tolist()]

    ask_until(gateway, itertools.cycle(rows), ROWS)
    assert (drift_of(gateway)["drifted"], drift_of(gateway)["reasons"]) == (False, [])
    started = gateway.ask(
        "POST", f"/api/v1/models/{MODEL}/rollouts", ROLLOUT, {"if-match": "*"}, base=gateway.admin
    )  # fmt: skip
    assert started.status == 201, started.json()
    eventually(lambda: phase_of(gateway)[0] == "step", TOLD_SECONDS, "the rollout has its first step")

    shifted = ([value * 1.6 for value in row] for row in itertools.cycle(rows))
    ask_until(gateway, shifted, SHIFTED)

    eventually(lambda: drift_of(gateway)["drifted"], TOLD_SECONDS, "the shift is told of")
    assert any("input[" in reason for reason in drift_of(gateway)["reasons"])
    assert drift_of(gateway)["reference"]["source"] == "rows.csv"
    eventually(lambda: phase_of(gateway)[0] == "hold", TOLD_SECONDS, "the rollout is held")
    assert "drift: version 1: input[" in phase_of(gateway)[1]
    states = metrics.scrape(gateway)["gateway_drift_columns"]
    drifted = {dict(labels)["version"]: many for labels, many in states.items() if ("state", "drifted") in labels}
    assert drifted["1"] > 0
    assert main(["models", "drift", MODEL, "--url", gateway.admin]) == 1
