"""Before its first traffic: two gateways on one store, one that cannot load the canary, and one canary too many."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

from gateway.models.evaluations import FORMAT, Evaluation, write_evaluation
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, publish, repository, request, tagged
from tests.flows.test_rollouts import ROUTE, is_in, now, order, start, store_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

GOLDEN: Final = {
    **request([1, 2]),
    "outputs": [
        {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]},
        {"name": "version", "datatype": "INT64", "shape": [1], "data": [1]},
    ],
}


def test_a_canary_gets_no_traffic_before_every_gateway_has_it_and_its_golden_answers_are_right(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    models = [_models(tmp_path / name) for name in ("one", "two")]
    (models[1] / MODEL / "2" / "model.onnx").write_bytes(b"cut off")
    one = begin("one", models=models[0], route=ROUTE, workers=1)
    two = begin("two", models=models[1], workers=1, flags=("--redis-url", store_url(one)))

    # One gateway cannot load version 2, and then has no evaluation of it.
    _evaluate(models[0])
    assert start(one, golden="off", require=["evaluation"]).status == 201
    other = f"replica {re.escape(os.uname().nodename)}:{two.admin.rpartition(':')[2]}#[0-9a-f]{{8}} lacks it: "

    def waits(why: str) -> bool:
        return re.search(other + why, str(now(one)["waits_for"])) is not None

    eventually(lambda: waits("version 2 is FAILED"), 10, "the other gateway is named")
    assert (now(one)["phase"], _answering(one), _answering(two)) == ("preflight", {"1"}, {"1"})
    (models[1] / MODEL / "2" / "model.onnx").write_bytes(tagged(2))
    lacks = "the plan requires evaluation of version 2: it was not evaluated"
    eventually(lambda: waits(lacks), 15, "the file is whole, and was not evaluated")
    _evaluate(models[1])
    eventually(is_in(one, "step"), 15, "the rollout goes on once that file has passed its gates")
    assert order(one, "abort").status == 200

    # Version 3 does not answer the golden requests of the baseline as that does.
    assert start(one, candidate="3", golden="baseline").status == 201
    eventually(is_in(one, "rolled_back"), 10, "the canary is taken back")
    newest, *before = _history(one)
    assert newest["reason"].startswith("golden: of version 1: golden request 1: output 'version' differs at [0]")
    assert not any(int(entry["after"]["split"].get("3", 0)) for entry in (newest, *before))
    assert _answering(one) == _answering(two) == {"1"}


def _models(directory: Path) -> Path:
    root = repository(directory / "models", (1, 2))
    publish(root, 3)
    (root / MODEL / "1" / "golden.jsonl").write_text(json.dumps(GOLDEN))
    return root


def _evaluate(root: Path) -> None:
    """Leave what ``models evaluate`` does beside a version 2 that passed its gates."""
    sha256 = hashlib.sha256(tagged(2)).hexdigest()
    passed = Evaluation(format=FORMAT, sha256=sha256, created="2026-11-21T10:00:00Z", passed=True)
    write_evaluation(root / MODEL / "2", passed)


def _answering(gateway: Gateway) -> set[str]:
    """Return which versions answer ten requests."""
    path = f"/v2/models/{MODEL}/infer"
    return {gateway.ask("POST", path, request([1, 2])).headers["x-gateway-version"] for _ in range(10)}


def _history(gateway: Gateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/history").json()
    return found
