"""What somebody meets who has just started the gateway with what is shipped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.flows.conftest import close_all, prepare
from tests.flows.gateway_process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

MODELS: Final = ROOT / "models"
VERSIONS: Final = sorted("/".join(path.parts[-3:-1]) for path in MODELS.glob("*/*/model.onnx"))
ROWS: Final = 17
"""Rows per request: more than one, and not a divisor of the number of rows."""

INPUTS: Final = {"text-topics": ("text", "BYTES")}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with the shipped models and routes."""
    gateway = prepare(tmp_path_factory.mktemp("shipped"), models=MODELS, routes=ROOT / "routing_configs")
    try:
        yield gateway.start()
    finally:
        close_all([gateway])


def commands(gateway: Gateway) -> list[str]:
    """Return the lines of the banner that are to be pasted."""
    return [line.strip() for line in gateway.stdout().splitlines() if line.startswith("  curl")]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the banner's lines need curl")
def test_every_line_of_the_banner_can_be_pasted_into_a_shell(shipped: Gateway) -> None:
    lines = commands(shipped)

    answers = [
        subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=20, check=True).stdout
        for line in lines
    ]

    assert len(lines) >= 3
    for line, answer in zip(lines, answers, strict=True):
        head, _, body = answer.rpartition("\n\n") if "-si" in line else ("HTTP/1.1 200 OK", "", answer)
        assert head.startswith("HTTP/1.1 200 OK"), answer
        assert "error" not in json.loads(body), answer
        assert "title" not in json.loads(body), answer
    assert any("x-gateway-version: " in answer for answer in answers)


def test_the_banner_names_the_address_of_the_metrics(shipped: Gateway) -> None:
    found = re.search(r"metrics +(\S+)/metrics\n", shipped.stdout())

    assert found
    assert "gateway_requests_total" in shipped.ask("GET", "/metrics", base=found[1]).body.decode()


@pytest.mark.parametrize("name", VERSIONS)
def test_served_answers_are_as_accurate_on_held_out_rows_as_the_metadata_says(shipped: Gateway, name: str) -> None:
    pytest.importorskip("sklearn", reason="the held-out rows come with the `convert` extra")
    from tools.training import data

    model, version = name.split("/")
    stated = yaml.safe_load((MODELS / name / "metadata.yaml").read_text())["metrics"]["accuracy"]

    found = data.accuracy(model, lambda inputs: served(shipped, model, version, inputs))

    assert found == pytest.approx(stated, abs=1e-6)


def served(gateway: Gateway, model: str, version: str, inputs: Any) -> Sequence[Any]:
    """Return the labels that *version* answers for *inputs* [n, features], several rows per request."""
    name, datatype = INPUTS.get(model, ("input", "FP32"))
    labels: list[Any] = []
    for start in range(0, len(inputs), ROWS):
        part = inputs[start : start + ROWS]
        tensor = {"name": name, "datatype": datatype, "shape": list(part.shape), "data": part.tolist()}
        answer = gateway.ask("POST", f"/v2/models/{model}/versions/{version}/infer", {"inputs": [tensor]})
        assert answer.status == 200, answer.body
        assert answer.headers["x-gateway-version"] == version
        outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
        assert len(outputs["label"]) == len(part)
        labels += outputs["label"]
    return labels


def test_a_model_without_a_route_file_gets_its_highest_version(shipped: Gateway) -> None:
    route = shipped.ask_admin("GET", "/api/v1/models/text-topics/route").json()

    assert route["split"] == {"2": 100}


def test_a_gateway_that_says_it_is_ready_has_its_routes_in_the_store(tmp_path: Path) -> None:
    gateway = prepare(tmp_path, models=MODELS, routes=ROOT / "routing_configs")
    try:
        gateway.start()

        answers = [gateway.set_weights(model, {"1": 1, "2": 1}).status for model in ("breast-cancer", "text-topics")]

        assert answers == [200, 200]
    finally:
        close_all([gateway])
