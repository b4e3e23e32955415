"""Clusters follow the rows, keep their numbers, and are compared with the very file that serves; really converted."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import skops.io
import yaml
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gateway.convert.export import onnx_bytes
from gateway.convert.samples import read_sample
from gateway.core.phases import Phase
from gateway.learning import centres
from gateway.learning.assembling import build
from gateway.learning.errors import CannotLearn
from gateway.learning.folder import Folder
from gateway.learning.publishing import Repository
from gateway.learning.rows import Columns
from gateway.models.metadata import read_metadata
from gateway.models.repository import METADATA_FILE
from tests.learning.world import World, learner_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from gateway.learning.learner import Learner

    Array = NDArray[Any]

MODEL: Final = "points"
CENTRES: Final = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
MOVED: Final = CENTRES + 2.0


def points(count: int, around: Array = CENTRES, seed: int = 0) -> Array:
    """Return *count* rows that lie around each of the centres in turn."""
    chance = np.random.default_rng(seed)
    rows = around[np.arange(count) % len(around)] + chance.normal(scale=0.5, size=(count, 2))
    return rows.astype(np.float32).astype(np.float64)


def fitted(last: Any = None, rows: Array | None = None) -> Any:
    rows = points(60) if rows is None else rows
    clusters = MiniBatchKMeans(3, random_state=0, n_init=3) if last is None else last
    return make_pipeline(StandardScaler(), clusters).fit(rows, np.arange(len(rows)) % 2)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose version 1 are clusters, beside ``start.skops``, which it was converted from."""
    root = tmp_path_factory.mktemp("clusters")
    publish(root, fitted())
    return root


def publish(root: Path, pipeline: Any) -> None:
    skops.io.dump(pipeline, root / "start.skops")
    np.save(root / "sample.npy", points(60))
    write(root / "models" / MODEL / "1", pipeline, root / "sample.npy")


def write(version: Path, pipeline: Any, sample: Path) -> None:
    """Convert in this process, which takes a tenth of the time; what a learner publishes is converted apart."""
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(onnx_bytes(pipeline, read_sample(sample)))


class Clusters:
    """A learner over a repository of its own with one version; its gateway and stream are those of a small world."""

    def __init__(self, root: Path, made: Path, **members: Any) -> None:
        shutil.copytree(made, root, dirs_exist_ok=True)
        self.root = root
        self.models = root / "models"
        self.world = World(root / "world")
        self._count = 0
        said = learner_yaml(
            task="clustering", learner="mini-batch-kmeans", start="start.skops",
            gate={"by": "1%", "least": 50, "error_scale": 2}, **members,
        )  # fmt: skip
        del said["classes"]
        (root / "learner.yaml").write_text(yaml.safe_dump(said))

    def learner(self) -> Learner:
        return build(
            self.root / "learner.yaml", self.models, Folder(self.world.folder.root), self.world.stream,
            self.world.admin, clock=lambda: self.world.now, tell=self.world.told.append,
        )  # fmt: skip

    def answer(self, rows: Array, **members: Any) -> None:
        for row in rows:
            inputs = {"input": {"datatype": "FP32", "shape": [1, 2], "data": row.tolist()}}
            self.world.label(1, inputs=inputs, kind="reward", said=[1.0], **members)


@pytest.mark.parametrize("strategy", ["incremental", "batch"])
async def test_centres_that_follow_the_rows_go_out_under_the_numbers_that_callers_know(
    tmp_path: Path, converted: Path, strategy: str
) -> None:
    clusters = Clusters(tmp_path, converted, strategy=strategy)
    learner = clusters.learner()
    clusters.answer(points(900, MOVED))

    await clusters.world.learn(learner)
    await clusters.world.turn(learner)

    assert [each[0] for each in clusters.world.admin.started] == [2], learner.state.head.words
    assert np.array_equal(
        learner.state.pipeline.predict(points(30, MOVED)), skops.io.load(tmp_path / "start.skops").predict(points(30))
    )
    metadata = read_metadata(clusters.models / MODEL / "2" / METADATA_FILE)
    assert metadata.parents == (f"{MODEL}/1:fine-tuned-from",)
    assert metadata.extra["parity"]["holds"] is True

    clusters.world.admin.end(Phase.SUCCEEDED)
    await clusters.world.turn(learner)
    clusters.answer(points(60, MOVED))
    again = await clusters.world.learn(clusters.learner())

    assert (again.state.head.serving, clusters.world.told[-1]["trouble"]) == (2, ""), "its own version is known to it"
    assert again.state.head.comparison.rows > 30


async def test_whatever_was_said_of_an_answer_its_row_is_learned(tmp_path: Path, converted: Path) -> None:
    clusters = Clusters(tmp_path, converted)
    learner = clusters.learner()
    clusters.answer(points(60), version="9")

    await clusters.world.learn(learner)

    head = learner.state.head
    assert (head.rows + head.held_out, head.not_learned) == (60, {})
    assert np.isfinite(learner.state.held.served).all(), "the serving version itself is asked, whoever answered"


async def test_centres_that_are_no_nearer_are_not_sent_out(tmp_path: Path, converted: Path) -> None:
    clusters = Clusters(tmp_path, converted)
    learner = clusters.learner()
    clusters.answer(points(600, seed=3))

    await clusters.world.learn(learner)

    assert clusters.world.admin.started == []
    assert learner.state.head.comparison.rows > 400
    assert "not published" in learner.state.head.words


async def test_a_version_that_may_measure_otherwise_is_compared_with_nothing(tmp_path: Path, converted: Path) -> None:
    clusters = Clusters(tmp_path, converted)
    learner = clusters.learner()
    write(clusters.models / MODEL / "7", fitted(rows=100 * points(60)), tmp_path / "sample.npy")
    clusters.world.admin.serves = 7
    await clusters.world.turn(learner)
    clusters.answer(points(200, MOVED))

    await clusters.world.learn(learner)

    assert (learner.state.head.serving, learner.state.head.comparison.rows) == (7, 0)
    assert "version 7 answers other distances than the pipeline" in clusters.world.told[-1]["trouble"]
    with pytest.raises(CannotLearn, match=r"start: version 7 answers other distances .* move the learner's directory"):
        clusters.learner()


def test_a_serving_version_that_is_no_clustering_is_refused(tmp_path: Path, converted: Path) -> None:
    clusters = Clusters(tmp_path, converted)
    shutil.rmtree(clusters.models)
    write(clusters.models / MODEL / "1", fitted(LogisticRegression()), tmp_path / "sample.npy")

    with pytest.raises(CannotLearn, match=r"task: the serving version is no clustering: it answers label, probab"):
        clusters.learner()


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (lambda: fitted(KMeans(3, n_init=1)), "start: KMeans cannot learn row by row"),
        (lambda: fitted(LogisticRegression()), "cannot learn row by row"),
        (lambda: make_pipeline(MiniBatchKMeans(3)), "start: its clusters have no centres yet"),
        (lambda: fitted(MiniBatchKMeans(4, n_init=1)), "start: version 1 answers other distances"),
        (lambda: fitted(rows=points(60, MOVED)), "start: version 1 answers other distances"),
    ],
)
def test_a_start_that_the_serving_version_was_not_made_of_is_refused(
    tmp_path: Path, converted: Path, start: Any, said: str
) -> None:
    clusters = Clusters(tmp_path, converted)
    skops.io.dump(start(), tmp_path / "start.skops")

    with pytest.raises(CannotLearn, match=said):
        clusters.learner()


def test_a_start_that_ends_in_no_clusters_is_refused_in_batches_too() -> None:
    with pytest.raises(CannotLearn, match="it ends in KMeans; fit a pipeline that ends in MiniBatchKMeans"):
        centres.settle(fitted(KMeans(3, n_init=1)))


def test_learning_moves_centres_and_leaves_preparation_and_numbers_alone() -> None:
    pipeline = fitted()
    centres.settle(pipeline)
    scaler = pipeline.steps[0][1].mean_.tolist()
    strange = np.tile([[50.0, 50.0]], (200, 1))
    before = pipeline.predict(points(3)).tolist()

    for _ in range(20):
        centres.learn(pipeline, strange)
    again = centres.refit(pipeline, np.concatenate([points(60), strange]))

    assert pipeline.steps[0][1].mean_.tolist() == again.steps[0][1].mean_.tolist() == scaler
    assert pipeline.steps[-1][1].reassignment_ratio == again.steps[-1][1].reassignment_ratio == 0.0
    assert centres.nearest(pipeline, strange).max() < 2.0
    assert sorted(before) == [0, 1, 2]


def test_fewer_rows_than_centres_fit_nothing() -> None:
    pipeline = fitted()

    assert centres.refit(pipeline, points(2)) is pipeline


def test_named_columns_are_asked_one_by_one(tmp_path: Path) -> None:
    pipeline = fitted()
    lines = ["x,y", *(f"{x!r},{y!r}" for x, y in points(30).tolist())]
    (tmp_path / "sample.csv").write_text("\n".join(lines) + "\n")
    write(tmp_path / "models" / MODEL / "1", pipeline, tmp_path / "sample.csv")
    served = centres.ServedCentres(
        Repository(tmp_path / "models", MODEL), Columns(("x", "y"), 2), lambda _: None, lambda: pipeline
    )

    found = served(1, points(30))

    assert served.why_not(1) == ""
    assert np.allclose(found, centres.nearest(pipeline, points(30)), atol=1e-3)


def test_a_version_that_is_not_there_is_compared_with_nothing_and_says_so(tmp_path: Path) -> None:
    served = centres.ServedCentres(Repository(tmp_path, MODEL), Columns((), 2), lambda _: None, fitted)

    assert "nothing can be compared with version 3 until its file is at " in served.why_not(3)
    assert np.isnan(served(3, points(2))).all()


async def test_a_stretch_of_strange_rows_is_caught_by_the_rows_that_were_held_out(
    tmp_path: Path, converted: Path
) -> None:
    held = {"share": "20%", "rows": 200, "least": 50}
    clusters = Clusters(tmp_path, converted, hold_out=held, strategy="batch", window=100)
    learner = clusters.learner()
    clusters.answer(points(900))
    await clusters.world.learn(learner)
    clusters.answer(points(400, CENTRES + 1.5))

    await clusters.world.learn(learner)

    assert clusters.world.admin.started == []
    assert "held-out rows the learner gains" in learner.state.head.words
