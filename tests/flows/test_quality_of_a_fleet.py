"""What two gateways count of labels is what scikit-learn computes from the same pairs, though a worker is killed."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, precision_recall_fscore_support

from gateway.store.redis_store import RedisRouteStore
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.models import route_file
from tests.flows.test_rollouts import store_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.core.labelled import Labelled
    from tests.flows.gateway_process import Gateway

MODELS: Final = Path(__file__).parents[2] / "models"
MODEL: Final = "breast-cancer"
ROWS: Final = 200


def predict(gateway: Gateway, name: str, row: Any) -> tuple[str, int, list[float]] | None:
    """Return version, class and probabilities; None where the worker that was asked died."""
    tensor = {"name": "input", "shape": [1, 30], "datatype": "FP32", "data": row.tolist()}
    try:
        answer = gateway.ask("POST", f"/v2/models/{MODEL}/infer", {"id": name, "inputs": [tensor]})
    except (OSError, http.client.HTTPException):
        return None
    assert answer.status == 200
    label, chances = (output["data"] for output in answer.json()["outputs"])
    return answer.headers["x-gateway-version"], label[0], chances


@pytest.mark.long
def test_the_quality_of_a_fleet_is_what_scikit_learn_computes_from_the_same_pairs(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    text = 'split: {"1": 50, "2": 50}\nbaseline: "1"\nfeedback: {inputs: all, redact: {}}'
    routes = route_file(tmp_path / "shared-routes", text, model=MODEL)
    one = begin("one", models=MODELS, routes=routes)
    two = begin("two", models=MODELS, routes=routes, flags=("--redis-url", store_url(one)))
    gateways = (one, two)
    rows, labels = load_breast_cancer(return_X_y=True)
    served: dict[int, tuple[str, int, list[float]]] = {}
    for number in range(ROWS):
        if number == ROWS // 2:
            os.kill(one.worker_pids()[0], signal.SIGKILL)
        found = predict(gateways[number % 2], f"r-{number}", rows[number].astype(np.float32))
        if found is not None:
            served[number] = found

    pairs: dict[str, list[tuple[int, int, list[float]]]] = {"1": [], "2": []}
    examples: dict[str, tuple[int, tuple[str], tuple[str], Any]] = {}
    for number, (version, said, chances) in served.items():
        item: dict[str, Any] = {"id": f"r-{number}", "label": int(labels[number]) ^ (number % 7 == 0)}
        answer = gateways[(number // 2) % 2].ask("POST", f"/v2/models/{MODEL}/feedback", item)
        assert answer.status in {202, 404}, "what the dead worker had not written yet is unknown"
        if answer.status == 202:
            pairs[version].append((item["label"], said, chances))
            asked = rows[number].astype(np.float32).tolist()
            examples[item["id"]] = (int(version), (str(item["label"]),), (str(said),), asked)

    assert sum(map(len, pairs.values())) > ROWS * 0.9
    eventually(lambda: len(one.worker_pids()) == 2, 10, "the worker is replaced")
    for gateway in gateways:
        shown = gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/quality").json()["versions"]
        quality = {each["version"]: each["windows"] for each in shown}
        for version, told in pairs.items():
            assert quality[version]["all"] == expected(told, quality[version]["all"])
            assert quality[version]["5m"]["labels"] == len(told)
        query = f"/api/v1/models/{MODEL}/experiments/report?first=1&second=2"
        report = gateway.ask_admin("GET", query).json()
        assert report["metrics"]["accuracy"]["trials"] == [len(pairs["1"]), len(pairs["2"])]
        assert not report["assignment"]["is_mismatch"]
        dropped = metrics.scrape(gateway)["gateway_quality_dropped_total"]
        assert set(dropped.values()) == {0}
    assert labelled(one, len(examples)) == examples, "each label that was counted is one example, with what was asked"


def labelled(gateway: Gateway, count: int) -> dict[str, tuple[int, Any, Any, Any]]:
    """Return id → version, label, prediction and inputs of all examples, *count* of which are expected."""

    async def read() -> dict[str, tuple[int, Any, Any, Any]]:
        store = RedisRouteStore(store_url(gateway))
        try:
            stream = store.labelled(MODEL)
            assert await stream.length() == count
            found = await stream.read("learner", "one", count, 0)
        finally:
            await store.close()
        assert len(found) == count
        return {each.id: (each.version, each.said, each.predicted, row_of(each)) for each in found}

    return asyncio.run(read())


def row_of(example: Labelled) -> list[float]:
    """Return the row that was asked, with the figures that FP32 has: it is written as short as it is."""
    row: list[float] = np.array(example.inputs["input"]["data"], np.float32).tolist()
    return row


def expected(told: list[tuple[int, int, list[float]]], shown: dict[str, Any]) -> dict[str, Any]:
    """Return *shown* with every figure that scikit-learn knows in place of ours."""
    right, said = [each[0] for each in told], [each[1] for each in told]
    kept = np.clip(np.round([each[2] for each in told], 6), 1e-15, 1)  # as a worker remembers them
    chances = kept / kept.sum(axis=1, keepdims=True)
    precision, recall, f1, support = precision_recall_fscore_support(right, said, labels=[0, 1])
    ours: dict[str, Any] = shown | {
        "labels": len(told),
        "accuracy": pytest.approx(accuracy_score(right, said), rel=1e-12),
        "f1": pytest.approx(f1.mean(), rel=1e-12),
        "log_loss": pytest.approx(log_loss(right, chances, labels=[0, 1]), rel=1e-5),
        "brier": pytest.approx(2 * brier_score_loss(right, chances[:, 1]), rel=1e-5),
    }
    ours["classes"] = {
        str(place): {
            "precision": pytest.approx(precision[place], rel=1e-12),
            "recall": pytest.approx(recall[place], rel=1e-12),
            "f1": pytest.approx(f1[place], rel=1e-12),
            "labels": int(support[place]),
        }
        for place in (0, 1)
    }
    return ours
