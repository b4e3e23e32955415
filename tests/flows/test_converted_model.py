"""From a saved estimator to an answer: converted by the command, found and served by a gateway that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.flows.gateway_process import ROOT, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

for package in ("pandas", "skl2onnx", "skops"):
    pytest.importorskip(package, reason="conversions need the `convert` extra")

pytestmark = pytest.mark.timeout(400)  # the converters take long to import on a busy machine

SERVED_SECONDS: Final = 5.0
COLUMNS: Final = ("mean radius", "mean texture", "mean area")


def saved(directory: Path) -> Any:
    """Save a model of three columns and its rows below *directory*; return the model and the rows."""
    import joblib
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    rows = rows[list(COLUMNS)]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    joblib.dump(model, directory / "model.joblib")
    rows.assign(diagnosis=labels).to_csv(directory / "rows.csv", index=False)
    return model, rows


def command(*words: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "gateway", "models", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def states(gateway: Gateway, version: str) -> set[str]:
    found = [gateway.index().get(("cancer", version)) for _ in range(8)]
    return {row["state"] if row else "absent" for row in found}


@pytest.mark.long
def test_a_converted_model_is_served_in_5_seconds_and_answers_as_its_original(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    gateway = begin()
    model, rows = saved(tmp_path)
    given = ("--name", "cancer", "--models", gateway.models, "--sample", tmp_path / "rows.csv", "--trust", "--json")

    done = command("convert", tmp_path / "model.joblib", *given)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parity"]["holds"]
    eventually(lambda: states(gateway, "1") == {"READY"}, SERVED_SECONDS, "the converted version is served")
    inputs = [
        {"name": name, "datatype": "FP32", "shape": [5, 1], "data": rows[name].head(5).tolist()} for name in COLUMNS
    ]
    answer = gateway.ask("POST", "/v2/models/cancer/versions/1/infer", {"inputs": inputs}).json()
    found = {each["name"]: each for each in answer["outputs"]}
    assert found["label"]["data"] == model.predict(rows.head(5)).tolist()
    assert found["probabilities"]["shape"] == [5, 2]
    assert found["probabilities"]["data"] == pytest.approx(model.predict_proba(rows.head(5)).ravel(), abs=1e-4)


def test_a_version_that_answers_otherwise_is_published_as_failed_and_never_served(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    gateway = begin()
    saved(tmp_path)
    given = ("--name", "cancer", "--models", gateway.models, "--sample", tmp_path / "rows.csv", "--trust")

    done = command("convert", tmp_path / "model.joblib", *given, "--tolerance", "0")

    assert (done.returncode, "published as FAILED" in done.stderr) == (1, True)
    eventually(lambda: states(gateway, "1") == {"UNAVAILABLE"}, SERVED_SECONDS, "the failed version is known")
    eventually(
        lambda: "registered as failed" in json.dumps(gateway.ask_admin("GET", "/api/v1/models").json()), 5, "its reason"
    )
    assert command("check", "cancer/1", "cancer/1", "--models", gateway.models).returncode == 0
