"""What ``learner.yaml`` may say, and what is answered where it says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import InvalidDocument
from gateway.core.learning import Backoff, Gate, Schedule
from gateway.learning.document import HoldOut, read, read_file
from gateway.learning.errors import CannotLearn
from tests.learning.world import learner_yaml

EXAMPLES = Path(__file__).parents[2] / "routing_configs" / "learners"


def test_a_document_says_what_learns_and_when_and_how_it_goes_out() -> None:
    found = read(learner_yaml(publish={"every": "1h", "on_change": True}))

    assert found.classes == (0, 1)
    assert found.schedule == Schedule(0, 3600, on_change=True)
    assert found.gate == Gate(0.01, 0.05, 50, 10)
    assert found.hold_out == HoldOut(0.2, 100)
    assert found.backoff == Backoff(60, 600)


def test_what_is_left_out_has_careful_defaults() -> None:
    least = {name: value for name, value in learner_yaml(gate={"by": "2%"}).items()
             if name not in {"hold_out", "backoff", "warm_up"}}  # fmt: skip

    found = read(least)

    assert (found.strategy, found.scale, found.mini_batch, found.warm_up) == ("incremental", True, 64, 100)
    assert (found.gate, found.hold_out) == (Gate(0.02, 0.05, 200, 50), HoldOut(0.1, 200))
    assert found.backoff == Backoff(600, 86_400)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"extra": 1}, "extra: is no member of a learner"),
        ({"model": 3}, "model: 3 is no text"),
        ({"task": "ranking"}, "task: 'ranking' is not known"),
        ({"learner": "forest"}, "learner: 'forest' is not known; write one of sgd, "),
        ({"learner": "linear"}, "'linear' cannot learn row by row; write strategy: batch"),
        ({"strategy": "both"}, "strategy: 'both' is not known"),
        ({"classes": [1]}, "classes: is no list of 2 to 1000 whole numbers"),
        ({"classes": [1, "2"]}, "classes: is no list"),
        ({"classes": [True, False]}, "classes: is no list"),
        ({"classes": [1, 1]}, "classes: names a class twice"),
        ({"classes": "ab"}, "classes: is no list"),
        ({"task": "regression", "gate": {"by": "1%", "error_scale": 1}}, "classes: belong to task: classification"),
        ({"parameters": {"alpha": [1]}}, "parameters: is no mapping of plain values"),
        ({"parameters": 3}, "parameters: is no mapping"),
        ({"scale": "yes"}, "scale: 'yes' is neither true nor false"),
        ({"start": "model.pkl"}, "start: 'model.pkl' is no .skops file"),
        ({"window": 5}, "window: 5 is no whole number from 10 to 100000"),
        ({"mini_batch": 0}, "mini_batch: 0 is no whole number from 1 to 1000"),
        ({"warm_up": -1}, "warm_up: -1 is no whole number"),
        ({"publish": {"on_drift": "yes"}}, "publish.on_drift: 'yes' is neither true nor false"),
        ({"publish": {}}, "publish: would never publish"),
        ({"publish": {"labels": 0}}, "publish.labels: 0 is no whole number from 1"),
        ({"publish": {"every": "soon"}}, "publish.every: 'soon' is no duration"),
        ({"gate": {}}, "gate.by: is missing"),
        ({"gate": {"by": 1}}, "gate.by: 1 is no percent"),
        ({"gate": {"by": "1%", "alpha": "60%"}}, "gate.alpha: "),
        ({"gate": {"by": "1%", "error_scale": 1}}, "gate.error_scale: belongs to task: regression"),
        ({"hold_out": {"share": "90%"}}, "hold_out.share: "),
        ({"hold_out": {"rows": 100, "least": 101}}, "hold_out.least: 101 is no whole number from 1 to 100"),
        ({"backoff": {"first": "1h", "most": "1m"}}, "backoff.most: is shorter than first"),
        ({"rollout": {}}, "rollout.steps: is missing"),
        ({"rollout": {"steps": [{"weight": 200, "for": "1m"}]}}, "rollout.steps[0].weight: "),
    ],
)
def test_a_document_that_cannot_be_meant_is_refused_at_its_place(members: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        read(learner_yaml(**members))

    assert said in str(refused.value)


def test_a_regression_needs_the_error_that_counts_as_entirely_wrong() -> None:
    given = learner_yaml(task="regression", gate={"by": "1%", "error_scale": 0})
    del given["classes"]

    with pytest.raises(InvalidDocument, match=r"gate\.error_scale: 0 is no number above 0"):
        read(given)


CLUSTERS: dict[str, Any] = {
    "task": "clustering", "learner": "mini-batch-kmeans", "start": "clusters.skops",
    "gate": {"by": "1%", "error_scale": 3},
}  # fmt: skip


def _without_classes(**members: Any) -> dict[str, Any]:
    return {name: each for name, each in learner_yaml(**members).items() if name != "classes"}


def test_clusters_have_no_classes_and_go_on_from_a_start() -> None:
    found = read(_without_classes(**CLUSTERS, publish={"on_drift": True}))

    assert (found.classes, found.start, found.error_scale) == ((), "clusters.skops", 3.0)
    assert found.schedule == Schedule(on_drift=True)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"learner": "sgd"}, "learner: 'sgd' is not known; write one of mini-batch-kmeans"),
        ({"gate": {"by": "1%"}}, "gate.error_scale: is missing"),
        ({"scale": True}, "scale: belongs to a pipeline that begins with nothing"),
        ({"parameters": {"n_clusters": 3}}, "parameters: belongs to a pipeline that begins with nothing"),
        ({"classes": [0, 1]}, "classes: belong to task: classification"),
        ({"start": None}, "start: is missing; clusters go on from the fitted .skops"),
    ],
)
def test_clusters_that_could_not_keep_their_numbers_or_be_compared_are_refused(
    members: dict[str, Any], said: str
) -> None:
    given = _without_classes(**{**CLUSTERS, **members}) | {n: each for n, each in members.items() if n == "classes"}

    with pytest.raises(InvalidDocument) as refused:
        read({name: each for name, each in given.items() if each is not None})

    assert said in str(refused.value)


def test_a_file_that_cannot_be_read_is_named_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "learner.yaml"
    with pytest.raises(CannotLearn, match=r"learner\.yaml cannot be read: No such file"):
        read_file(path)
    path.write_text("model: a\nmodel: b\n")
    with pytest.raises(CannotLearn, match=r"learner\.yaml: line 2, column 1: 'model' is written twice"):
        read_file(path)
    path.write_text("model: a\n")
    with pytest.raises(CannotLearn, match=r"learner\.yaml: task: is missing"):
        read_file(path)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_that_ship_are_read(path: Path) -> None:
    assert read_file(path).model == path.stem


def test_an_example_ships() -> None:
    assert list(EXAMPLES.glob("*.yaml"))
