"""Where learning begins: with nothing, or with the pipeline that the serving version was converted from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from gateway.core.errors import GatewayError
from gateway.learning.assembling import _first
from gateway.learning.document import read
from gateway.learning.rows import Columns
from tests.learning.world import learner_yaml

if TYPE_CHECKING:
    from pathlib import Path

ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [0.2, 0.9], [0.9, 0.1]])


def begin(directory: Path, pipeline: Any, labels: tuple[int, ...] = (0, 1, 0, 1), width: int = 2) -> Any:
    """Return what a learner begins with whose ``start`` is *pipeline*, fitted."""
    skops.io.dump(pipeline.fit(ROWS, labels), directory / "start.skops")
    return _first(read(learner_yaml(start="start.skops")), directory, Columns((), width))


def test_learning_goes_on_from_the_pipeline_that_start_names(tmp_path: Path) -> None:
    found = begin(tmp_path, make_pipeline(StandardScaler(), SGDClassifier(random_state=0)))

    assert found.predict(ROWS).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("pipeline", "labels", "width", "said"),
    [
        (SGDClassifier(), (0, 1, 0, 1), 2, "holds a SGDClassifier, which is no pipeline"),
        (make_pipeline(LogisticRegression()), (0, 1, 0, 1), 2, "LogisticRegression cannot learn row by row"),
        (make_pipeline(SGDClassifier()), (0, 2, 0, 2), 2, "it knows the classes"),
        (make_pipeline(SGDClassifier()), (0, 1, 0, 1), 3, "it reads 2 columns, the serving version 3"),
        (make_pipeline(FunctionTransformer(os.path.abspath, validate=False), SGDClassifier()), None, 2, "not read"),
    ],
)
def test_a_start_that_does_not_fit_is_refused_in_words(
    tmp_path: Path, pipeline: Any, labels: tuple[int, ...] | None, width: int, said: str
) -> None:
    if labels is None:
        pipeline.fit = lambda *_: pipeline

    with pytest.raises(GatewayError, match=said):
        begin(tmp_path, pipeline, labels or (), width)
