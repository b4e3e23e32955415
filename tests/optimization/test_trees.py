"""An ensemble that lost trees answers as scikit-learn's does with its first trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("skl2onnx", reason="ensembles are converted with the `convert` extra")

from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from gateway.engine.rewriting import CannotRewrite
from gateway.optimization.trees import prune_trees
from tests.engine.graphs import identity

pytestmark = pytest.mark.timeout(300)  # the converter takes long to import on a busy machine

KEPT = 6


def converted(estimator: Any, rows: Any) -> Any:
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    return to_onnx(estimator, rows[:1], options=options, target_opset={"": 21, "ai.onnx.ml": 3})


def answered(model: Any, rows: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: rows})[-1])


def rows_of(load: Any) -> tuple[Any, Any]:
    rows, labels = load(return_X_y=True)
    return rows.astype(np.float32), labels


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_a_forest_of_the_first_trees_is_their_mean(load: Any) -> None:
    rows, labels = rows_of(load)
    forest = RandomForestClassifier(10, max_depth=4, random_state=0).fit(rows, labels)
    model = converted(forest, rows)

    gone = prune_trees(model, KEPT)

    theirs = np.mean([tree.predict_proba(rows) for tree in forest.estimators_[:KEPT]], axis=0)
    assert gone == 4
    np.testing.assert_allclose(answered(model, rows), theirs, atol=1e-5)


def test_a_regressing_forest_of_the_first_trees_is_their_mean() -> None:
    rows, labels = rows_of(load_diabetes)
    forest = RandomForestRegressor(10, max_depth=4, random_state=0).fit(rows, labels)
    model = converted(forest, rows)

    prune_trees(model, KEPT)

    theirs = np.mean([tree.predict(rows) for tree in forest.estimators_[:KEPT]], axis=0)
    np.testing.assert_allclose(answered(model, rows).ravel(), theirs, rtol=1e-5)


@pytest.mark.parametrize(("load", "classes"), [(load_breast_cancer, 1), (load_iris, 3)])
def test_boosting_stops_after_the_first_rounds(load: Any, classes: int) -> None:
    rows, labels = rows_of(load)
    boosted = GradientBoostingClassifier(n_estimators=10, random_state=0).fit(rows, labels)
    model = converted(boosted, rows)

    prune_trees(model, KEPT * classes)

    theirs = list(boosted.staged_predict_proba(rows))[KEPT - 1]
    np.testing.assert_allclose(answered(model, rows), theirs, atol=1e-5)


def test_regressing_boosting_stops_after_the_first_rounds() -> None:
    rows, labels = rows_of(load_diabetes)
    boosted = GradientBoostingRegressor(n_estimators=10, random_state=0).fit(rows, labels)
    model = converted(boosted, rows)

    prune_trees(model, KEPT)

    theirs = list(boosted.staged_predict(rows))[KEPT - 1]
    np.testing.assert_allclose(answered(model, rows).ravel(), theirs, rtol=1e-5)


def test_a_round_of_boosting_is_not_cut_in_two() -> None:
    rows, labels = rows_of(load_iris)
    model = converted(GradientBoostingClassifier(n_estimators=4, random_state=0).fit(rows, labels), rows)

    with pytest.raises(CannotRewrite, match="keep a multiple of 3"):
        prune_trees(model, 7)


def test_what_has_no_trees_to_lose_is_refused() -> None:
    rows, labels = rows_of(load_iris)
    model = converted(RandomForestClassifier(5, max_depth=2, random_state=0).fit(rows, labels), rows)

    with pytest.raises(CannotRewrite, match="has 5 trees, so keeping 5 removes none"):
        prune_trees(model, 5)
    with pytest.raises(CannotRewrite, match="no tree ensemble that could lose trees, but Identity"):
        prune_trees(type(model).FromString(identity()), 5)
