"""The model that invented requests go to, with an input of each kind that is read in its own way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import onnxruntime as ort

from tests.engine import graphs
from tests.engine.graphs import KINDS, node, value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gateway.ports.engine import Tensor

MODEL: Final = "mixed"

INPUTS: Final = (("f", "FP32", 3), ("i", "INT64", 2), ("b", "BOOL", 1), ("t", "BYTES", 1), ("u", "UINT8", -1))
"""Name, datatype and width; the first axis is free, and so is the second where the width is -1."""

OUTPUTS: Final = ["F", "I", "B", "T", "U"]


def mixed() -> bytes:
    """F = f / 2, B = not b, and the others as they came."""
    half = graphs.weights("half", [0.5], [1])
    shapes = {name: ("n", size if size > 0 else "m") for name, _, size in INPUTS}
    return graphs.graph(
        node("Mul", ["f", "half"], ["F"]),
        node("Not", ["b"], ["B"]),
        *(node("Identity", [name], [name.upper()]) for name in "itu"),
        inputs=[value(name, KINDS[kind], shapes[name]) for name, kind, _ in INPUTS],
        outputs=[value(name.upper(), KINDS[kind], shapes[name]) for name, kind, _ in INPUTS],
        tensors=[half],
    )


def publish(root: Path) -> Path:
    """Put the model into the repository *root* and return its file. What is not finite may be answered."""
    directory = root / MODEL / "1"
    directory.mkdir(parents=True)
    metadata, file = directory / "metadata.yaml", directory / "model.onnx"
    metadata.write_text("serving: {nonfinite: null}\n")
    file.write_bytes(mixed())
    for each in (metadata, file):
        os.utime(each, (0, 0))  # else they would be waited for, as files that are still copied
    return file


class Directly:
    """The runtime called directly, with nothing of the gateway in between."""

    def __init__(self, file: Path) -> None:
        self._session = ort.InferenceSession(file)

    def run(self, feeds: Mapping[str, Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
        """Return the *wanted* outputs."""
        found: list[Any] = self._session.run(list(wanted), dict(feeds))
        return dict(zip(wanted, found, strict=True))
