"""The work item of the benchmark: one row of 30 floats for version 1 of breast-cancer, as Open Inference Protocol JSON.

The rows are real and held out from training, and the answers they must get come from
onnxruntime itself, so that nothing wrong is ever timed.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # latched when onnxruntime is first imported

from tools.training import data, export

ROOT: Final = Path(__file__).resolve().parent.parent
MODELS: Final = ROOT / "models"
MODEL: Final = "breast-cancer"
PATH: Final = f"/v2/models/{MODEL}/infer"
PINNED_PATH: Final = f"/v2/models/{MODEL}/versions/1/infer"
"""For a gateway whose route sends some of the traffic to other versions."""
TOLERANCE: Final = 1e-5


class NotMeasurable(RuntimeError):
    """A server does not start, or answers wrongly, or a load cannot be made: there is nothing to time."""


FAILURES: Final = (NotMeasurable, OSError, http.client.HTTPException, subprocess.SubprocessError, ValueError)
"""What a server, or the load on it, may end with that is not the benchmark's own mistake."""


@dataclass(frozen=True, slots=True)
class Work:
    """One request and what it must be answered: *probabilities* [classes], whose largest belongs to *label*."""

    body: bytes
    label: int
    probabilities: tuple[float, ...]

    def fault(self, answer: bytes, *, labelled: bool = True) -> str:
        """Say what is wrong with *answer*, a response body; empty if nothing is. Not *labelled*: of a peer's."""
        outputs = {output["name"]: output["data"] for output in json.loads(answer)["outputs"]}
        if labelled and outputs["label"] != [self.label]:
            return f"label {outputs['label']} is not {self.label}"
        wrong = max(abs(got - want) for got, want in zip(outputs["probabilities"], self.probabilities, strict=True))
        return f"a probability is off by {wrong}" if wrong > TOLERANCE else ""


@cache
def items() -> tuple[Work, ...]:
    """Return one work item per held-out row."""
    inputs, _ = data.held_out(MODEL)
    labels, probabilities = export.predict(MODELS / MODEL / "1" / "model.onnx", inputs)
    return tuple(
        Work(_body(row), int(label), tuple(map(float, shares)))
        for row, label, shares in zip(inputs, labels, probabilities, strict=True)
    )


def _body(row: Any) -> bytes:
    numbers = [float(str(number)) for number in row]  # the shortest decimals that give back the same float32
    tensor = {"name": "input", "shape": [1, len(numbers)], "datatype": "FP32", "data": numbers}
    return json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()


def check(port: int, name: str = "the gateway", *, labelled: bool = True) -> None:
    """Send every work item to the server at *port*, one by one. Raises NotMeasurable at the first wrong answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for item in items():
            connection.request("POST", PATH, item.body, {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise NotMeasurable(f"{name} answers {answer.status}: {text[:300]!r}")
            if fault := item.fault(text, labelled=labelled):
                raise NotMeasurable(f"{name} gives a wrong answer, nothing is timed: {fault}")
    finally:
        connection.close()
