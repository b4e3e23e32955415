"""Stands in for TensorFlow, which is not installed here: what `savedmodel_answers` uses of it, and no more.

Copied to where the confined process looks for ``tensorflow``. A "SavedModel" is a folder with ``graph.onnx``, which
answers by the runtime, and perhaps ``off``, a number that is added to its probabilities.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime


class _Answering:
    """A signature's function: takes tensors by name, returns tensors by name."""

    def __init__(self, folder: Path) -> None:
        self._session = onnxruntime.InferenceSession(folder / "graph.onnx")
        self._off = np.float32((folder / "off").read_text()) if (folder / "off").exists() else np.float32(0)
        spec = SimpleNamespace(
            shape=SimpleNamespace(as_list=lambda: [None, 30]), dtype=SimpleNamespace(as_numpy_dtype=np.float32)
        )
        self.structured_input_signature = ((), {"input": spec})

    def __call__(self, **tensors: Any) -> dict[str, Any]:
        label, probabilities = self._session.run(None, tensors)
        answers = {"label": label, "probabilities": probabilities + self._off}
        return {name: SimpleNamespace(numpy=lambda kept=answer: kept) for name, answer in answers.items()}


def _load(folder: str) -> Any:
    return SimpleNamespace(signatures={"serving_default": _Answering(Path(folder))})


def constant(value: Any) -> Any:
    """Return *value*, which is a tensor here."""
    return value


saved_model = SimpleNamespace(load=_load)
