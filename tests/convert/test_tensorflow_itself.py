"""A SavedModel that TensorFlow saved, through TensorFlow and tf2onnx themselves, where both are installed.

They do not install beside everything else that is tested here: `pip install tf2onnx tensorflow-cpu` into an
environment of their own. What is here holds of them; `test_sources.py` plays them for all other rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("tf2onnx", reason="it does not install beside what is tested here")
pytest.importorskip("tensorflow", reason="it does not install beside what is tested here")

import tensorflow as tf

from gateway.convert.conversion import Wish, convert
from gateway.convert.sources import of_path

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)  # TensorFlow takes seconds to be imported, in a process of its own


def test_a_savedmodel_is_compared_output_by_output(tmp_path: Path) -> None:
    model = tf.Module()
    model.weights = tf.Variable([[1.0, -1.0], [0.5, 2.0], [-2.0, 0.25]])

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def answer(x):  # type: ignore[no-untyped-def]  # TensorFlow traces it, and has no types here
        probabilities = tf.nn.softmax(x @ model.weights)
        return {"probabilities": probabilities, "label": tf.argmax(probabilities, axis=1), "mean": tf.reduce_mean(x)}

    model.answer = answer
    tf.saved_model.save(model, str(tmp_path / "saved"), signatures={"serving_default": answer})
    np.save(tmp_path / "rows.npy", np.random.default_rng(3).normal(size=(50, 3)))

    done = convert(Wish(
        of_path(tmp_path / "saved").file, "sums", tmp_path / "models", sample=tmp_path / "rows.npy", trusted=True
    ))  # fmt: skip

    assert done.parity is not None
    assert (done.parity.holds, done.parity.rows) == (True, 50)
    assert {each.output for each in done.parity.outputs} == {"probabilities", "label", "mean"}
