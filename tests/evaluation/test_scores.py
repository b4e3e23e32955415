"""Every score is scikit-learn's, and a row of weight two is a row that is there twice."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from gateway.evaluation.predictions import Classes, Numbers
from gateway.evaluation.scores import ClassScores, NumberScores

metrics = pytest.importorskip("sklearn.metrics", reason="the scores are held against the `convert` extra")

SHAPES = [(2, 40), (2, 300), (3, 60), (7, 200)]


def classifier(classes: int, rows: int, seed: int = 0) -> Classes:
    """Return predictions that are right about as often as not; probabilities of two digits, so that many are equal."""
    draw = np.random.default_rng(seed)
    right = np.concatenate([np.arange(classes), draw.integers(classes, size=rows - classes)])
    chances = draw.dirichlet(np.ones(classes), size=rows)
    chances[np.arange(rows), right] += 0.5
    chances = np.round(chances, 2) + 0.01
    chances /= chances.sum(axis=1, keepdims=True)
    return Classes(tuple(map(str, range(classes))), right, chances.argmax(axis=1), chances)


def regressor(rows: int = 80) -> Numbers:
    draw = np.random.default_rng(3)
    right = draw.normal(5, 2, rows)
    return Numbers(right, right + draw.normal(0, 1, rows))


@pytest.mark.parametrize(("classes", "rows"), SHAPES)
def test_the_scores_of_a_classifier_are_scikit_learn_s(classes: int, rows: int) -> None:
    found = classifier(classes, rows)
    right, said, chances = found.right, found.said, found.chances
    assert chances is not None

    scores = ClassScores(found)(np.ones(rows))

    for average, suffix in (("macro", ""), ("weighted", "_weighted")):
        theirs = metrics.precision_recall_fscore_support(right, said, average=average, zero_division=0)
        assert [scores[f"{name}{suffix}"] for name in ("precision", "recall", "f1")] == pytest.approx(theirs[:3])
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(right, said))
    area = metrics.roc_auc_score(right, chances[:, 1] if classes == 2 else chances, multi_class="ovr")
    assert scores["roc_auc"] == pytest.approx(area)
    assert scores["log_loss"] == pytest.approx(metrics.log_loss(right, chances))
    assert scores["brier"] == pytest.approx(metrics.brier_score_loss(right, chances[:, 1] if classes == 2 else chances))


def test_the_scores_of_each_class_are_scikit_learn_s() -> None:
    found = classifier(3, 60)

    classes = ClassScores(found).classes(np.ones(60))

    theirs = metrics.precision_recall_fscore_support(found.right, found.said, zero_division=0)
    ours = [[each[name] for each in classes.values()] for name in ("precision", "recall", "f1", "support")]
    np.testing.assert_allclose(ours, theirs)


def test_the_scores_of_a_regressor_are_scikit_learn_s() -> None:
    found = regressor()

    scores = NumberScores(found)(np.ones(80))

    assert scores["mse"] == pytest.approx(metrics.mean_squared_error(found.right, found.said))
    assert scores["mae"] == pytest.approx(metrics.mean_absolute_error(found.right, found.said))
    assert scores["r2"] == pytest.approx(metrics.r2_score(found.right, found.said))


@pytest.mark.parametrize("found", [classifier(2, 60), classifier(5, 90), regressor()], ids=["two", "five", "numbers"])
def test_a_row_of_weight_two_is_a_row_that_is_there_twice(found: Any) -> None:
    rows = len(found.right)
    weights = np.random.default_rng(1).integers(1, 4, size=rows)
    again = np.repeat(np.arange(rows), weights)
    kind: Any = ClassScores if isinstance(found, Classes) else NumberScores
    right, said = found.right[again], found.said[again]
    is_classes = isinstance(found, Classes)
    repeated: Any = Classes(found.names, right, said, found.chances[again]) if is_classes else Numbers(right, said)

    weighted, plain = kind(found)(weights.astype(float)), kind(repeated)(np.ones(len(again)))

    assert weighted == pytest.approx(plain)


def test_a_perfectly_calibrated_classifier_has_no_calibration_error() -> None:
    chances = np.tile([0.25, 0.75], (100, 1))
    right = np.array([1] * 75 + [0] * 25)

    sure = ClassScores(Classes(("0", "1"), right, np.ones(100, int), chances))
    unsure = ClassScores(Classes(("0", "1"), np.ones(100, int), np.ones(100, int), chances))

    assert sure(np.ones(100))["ece"] == pytest.approx(0)
    assert unsure(np.ones(100))["ece"] == pytest.approx(0.25)
    assert [(each.rows, each.confidence, each.accuracy) for each in sure.bins()] == [(100, 0.75, 0.75)]


def test_what_cannot_be_known_is_not_a_number() -> None:
    one_class = ClassScores(Classes(("0", "1"), np.zeros(9, int), np.zeros(9, int), np.tile([0.9, 0.1], (9, 1))))
    constant = NumberScores(Numbers(np.full(9, 0.1), np.arange(9.0)))
    silent = ClassScores(Classes(("0", "1"), np.array([0, 1]), np.array([0, 1]), None, "it answers no probabilities"))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = one_class(np.ones(9)), constant(np.ones(9)), silent(np.ones(2))

    assert np.isnan([found[0]["roc_auc"], found[1]["r2"], found[2]["roc_auc"], found[2]["ece"]]).all()
    assert (found[0]["accuracy"], found[2]["accuracy"]) == (1, 1)


def test_a_class_that_only_the_version_says_is_wrong_and_breaks_nothing() -> None:
    found = Classes(("0", "1"), np.array([0, 1, 1]), np.array([0, -1, 1]), None)

    assert ClassScores(found)(np.ones(3))["accuracy"] == pytest.approx(2 / 3)
