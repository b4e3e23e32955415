"""A classifier that learns row by row becomes very sure; the converted one still answers the class that it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("skl2onnx", reason="conversions need the `convert` extra")
pytest.importorskip("skops", reason="conversions need the `convert` extra")
pytest.importorskip("pandas", reason="conversions need the `convert` extra")

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gateway.convert import answers, export
from gateway.convert.samples import read_sample
from gateway.engine.onnx import OnnxEngine

if TYPE_CHECKING:
    from pathlib import Path

ROWS, DIGITS = load_digits(return_X_y=True)
FACTOR = 50.0
"""How much surer than it is after one pass the classifier is made: many rows then have several sure classes."""


@pytest.mark.parametrize("loss", ["log_loss", "modified_huber", "hinge"])
@pytest.mark.parametrize("classes", [2, 10])
def test_of_several_classes_that_are_all_but_certain_it_answers_the_one_with_the_highest_score(
    loss: str, classes: int, tmp_path: Path
) -> None:
    is_told_apart = np.isin(DIGITS, range(classes))
    rows, digits = ROWS[is_told_apart], DIGITS[is_told_apart]
    np.save(tmp_path / "rows.npy", rows)
    estimator = make_pipeline(StandardScaler(), SGDClassifier(loss=loss, random_state=0, max_iter=1, tol=None))
    estimator.fit(rows, digits)
    estimator[-1].coef_ *= FACTOR
    sample = answers.fitted_columns(estimator, read_sample(tmp_path / "rows.npy"))

    (tmp_path / "model.onnx").write_bytes(export.onnx_bytes(estimator, sample))

    session = OnnxEngine().load(tmp_path / "model.onnx", model="m", version=1, threads=1)
    found = dict(zip((s.name for s in session.signature.outputs), session.run({"input": rows.astype(np.float32)}),
                     strict=True))  # fmt: skip
    assert found["label"].tolist() == estimator.predict(rows).tolist()
