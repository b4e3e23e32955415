"""The loop is closed: answers are labelled, a learner beside the gateway learns, and what it learned is a canary."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
from sklearn.datasets import load_breast_cancer

from gateway.models.metadata import read_metadata
from tests.flows.gateway_process import ROOT, eventually
from tests.flows.models import route_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

MODEL: Final = "breast-cancer"
ANSWERS: Final = 120
LEARNED_SECONDS: Final = 60.0

LEARNER: Final = f"""
model: {MODEL}
task: classification
classes: [0, 1]
learner: sgd
warm_up: 30
mini_batch: 16
publish: {{labels: 50}}
gate: {{by: 1%, least: 20}}
hold_out: {{share: 10%, rows: 50, least: 3}}
rollout: {{steps: [{{weight: 10, for: 10m}}]}}
"""


def serve_and_label(gateway: Gateway) -> None:
    """Have answers given, and labelled by a rule that the shipped version does not know: its classes, the wrong way."""
    rows, labels = load_breast_cancer(return_X_y=True)
    for number in range(ANSWERS):
        tensor = {"name": "input", "shape": [1, 30], "datatype": "FP32", "data": rows[number * 4].tolist()}
        asked = gateway.ask("POST", f"/v2/models/{MODEL}/infer", {"id": f"r-{number}", "inputs": [tensor]})
        assert asked.status == 200
    items = [{"id": f"r-{number}", "label": 1 - int(labels[number * 4])} for number in range(ANSWERS)]
    answer = gateway.ask("POST", f"/v2/models/{MODEL}/feedback", {"feedback": items})
    assert {each["status"] for each in answer.json()["feedback"]} == {"counted"}


def learn(gateway: Gateway, *words: str) -> list[str]:
    """Return the command that speaks to the learner of *gateway*."""
    return [sys.executable, "-m", "gateway", "learn", MODEL, *words, "--state-dir", str(gateway.state)]


def status(gateway: Gateway) -> dict[str, Any]:
    """Return what the learner says of itself; nothing before it said anything."""
    done = subprocess.run(learn(gateway, "status", "--json"), cwd=ROOT, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


@pytest.mark.long
def test_what_is_learned_from_labelled_answers_goes_out_as_a_canary(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models" / MODEL / "1", models / MODEL / "1")
    routes = route_file(tmp_path / "routes", 'split: {"1": 100}\nfeedback: {inputs: all, redact: {}}', model=MODEL)
    gateway = begin(models=models, routes=routes)
    (tmp_path / "learner.yaml").write_text(LEARNER)
    serve_and_label(gateway)

    words = ("--learner", str(tmp_path / "learner.yaml"), "--models", str(models), "--url", gateway.admin)
    with subprocess.Popen(learn(gateway, *words), cwd=ROOT, stderr=subprocess.PIPE, text=True) as learner:
        try:
            eventually(
                lambda: gateway.ask_admin("GET", f"/api/v1/models/{MODEL}").json()["rollout"] is not None,
                LEARNED_SECONDS,
                "a rollout of what was learned",
            )
            eventually(lambda: status(gateway).get("rollout") == "2", 10, "the learner knows of its rollout")
            told = status(gateway)
        finally:
            learner.send_signal(signal.SIGTERM)
            said = learner.communicate(timeout=30)[1]

    assert learner.returncode == 0, said
    rollout = gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/rollouts/current").json()
    assert (rollout["candidates"][0]["version"], rollout["baseline"]) == ("2", "1")
    assert (told["running"], told["answers"], told["serving"]) == (True, ANSWERS, "1")
    metadata = read_metadata(models / MODEL / "2" / "metadata.yaml")
    assert metadata.parents == (f"{MODEL}/1:trained-from",)
    assert metadata.training_data.rows == told["rows"]
    assert f"{MODEL}: learning; version 2 is in its rollout" in said
    assert status(gateway)["running"] is False
