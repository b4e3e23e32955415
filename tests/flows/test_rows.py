"""Many callers at once over one worker: each gets the answer of its own row, whatever batch it was in."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.flows import metrics
from tests.flows.gateway_process import ROOT, eventually
from tests.flows.load import Connection, Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Gateway

CALLERS: Final = 64
ROUNDS: Final = 8
FEATURES: Final = 30


async def test_64_callers_at_once_each_get_the_answer_of_their_own_row(begin: Callable[..., Gateway]) -> None:
    gateway = begin(models=ROOT / "models", workers=1)
    draw = random.Random(7)
    rows = [[draw.uniform(0.01, 30.0) for _ in range(FEATURES)] for _ in range(CALLERS * ROUNDS)]
    expected = {version: directly(version, rows) for version in ("1", "2")}

    async def call(caller: int) -> list[tuple[str, int, list[float]]]:
        connection = await Connection.open(gateway.port)
        answers = []
        for row in rows[caller::CALLERS]:
            tensor = {"name": "input", "datatype": "FP32", "shape": [1, FEATURES], "data": row}
            body = json.dumps({"inputs": [tensor]}).encode()
            status, headers, content = await connection.post("/v2/models/breast-cancer/infer", body, {})
            assert status == 200, content
            outputs = {output["name"]: output["data"] for output in json.loads(content)["outputs"]}
            answers.append((headers["x-gateway-version"], outputs["label"][0], outputs["probabilities"]))
        await connection.aclose()
        return answers

    assert gateway.set_weights("breast-cancer", {"1": 1, "2": 1}).status == 200
    eventually(lambda: metrics.adopted(gateway, model="breast-cancer") == 2, 3, "the worker follows")
    answers = await asyncio.gather(*map(call, range(CALLERS)))

    assert {version for own in answers for version, _, _ in own} == {"1", "2"}
    for caller, own in enumerate(answers):
        for number, (version, label, probabilities) in enumerate(own):
            right_label, right_probabilities = expected[version][caller + number * CALLERS]
            assert label == right_label
            assert probabilities == pytest.approx(right_probabilities, abs=1e-5)


async def test_rows_come_back_bit_for_bit_when_requests_pile_up_faster_than_they_are_answered(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin(workers=1)

    async with Load(gateway.port, rate=600) as load:
        await load.answered(1_500)

    assert load.faults == []


def directly(version: str, rows: list[list[float]]) -> list[tuple[int, list[float]]]:
    """Return what onnxruntime itself makes of each row, one at a time: label and probabilities."""
    import numpy as np
    import onnxruntime as ort

    session = ort.InferenceSession(ROOT / "models" / "breast-cancer" / version / "model.onnx")
    answers = []
    for row in rows:
        outputs: list[Any] = session.run(["label", "probabilities"], {"input": np.array([row], np.float32)})
        answers.append((int(outputs[0][0]), outputs[1][0].tolist()))
    return answers
