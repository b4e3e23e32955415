"""Clusters that learn: their centres follow the rows, and keep their numbers, which callers know.

The quality of a row is its distance from the nearest centre. Distances of two versions say something of each other only
where both measure in the same columns at the same scale, so preparation stays as it was fitted and only centres move.
The distances of the version that serves are those that it answers itself, as ``scores``.

Source: Sculley, "Web-scale k-means clustering", WWW 2010, doi:10.1145/1772690.1772862.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.convert.checking import opened
from gateway.convert.errors import CannotConvert
from gateway.core.errors import ModelFailed
from gateway.learning import estimators
from gateway.learning.errors import CannotLearn, Diverged
from gateway.learning.rows import MATRIX
from gateway.models.warmup import NUMPY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gateway.learning.publishing import Repository
    from gateway.learning.rows import Columns
    from gateway.ports.engine import Session

    Array = NDArray[Any]

Served = Callable[[int, Any], Any]
"""Version and rows, float64 [n, columns] → distance from the version's nearest centre, [n]; NaN where none is known."""

OUTPUTS: Final = frozenset({"label", "scores"})
SCORES: Final = "scores"

TOLERATED: Final = 1e-3
"""Relative difference of distances that numbers of 32 bits make."""


def settle(pipeline: Any) -> None:
    """Have the clusters of *pipeline* keep their numbers. Raises CannotLearn where it ends in none that can learn."""
    last = pipeline.steps[-1][1]
    if type(last).__name__ != "MiniBatchKMeans":
        raise CannotLearn(f"start: it ends in {type(last).__name__}; fit a pipeline that ends in MiniBatchKMeans")
    if not estimators.is_fitted(pipeline):
        raise CannotLearn("start: its clusters have no centres yet; save the pipeline after it was fitted")
    last.set_params(reassignment_ratio=0.0)  # a centre that is put elsewhere is another cluster with the same number


def learn(pipeline: Any, rows: Array) -> None:
    """Move the centres of *pipeline* towards rows, float64 [n, columns]. Raises Diverged."""
    last = pipeline.steps[-1][1]
    with estimators.watched():
        last.partial_fit(_prepared(pipeline, rows))


def refit(pipeline: Any, rows: Array) -> Any:
    """Return a pipeline whose centres are found anew on these rows alone, beginning where those of *pipeline* are.

    With fewer rows than centres it is *pipeline*. Raises Diverged.
    """
    *before, (name, last) = pipeline.steps
    if len(rows) < len(last.cluster_centers_):
        return pipeline
    again = type(last)(**{**last.get_params(), "init": last.cluster_centers_, "n_init": 1})
    with estimators.watched():
        again.fit(_prepared(pipeline, rows))
    return type(pipeline)([*before, (name, again)])


def nearest(pipeline: Any, rows: Array) -> Array:
    """Return each row's distance from the nearest centre, [n]. Raises Diverged."""
    return np.asarray(_distances(pipeline, rows).min(axis=1))


def _prepared(pipeline: Any, rows: Array) -> Array:
    for _, step in pipeline.steps[:-1]:
        rows = step.transform(rows)
    return rows


def _distances(pipeline: Any, rows: Array) -> Array:
    """Return the distance of each row from each centre, [n, centres]. Raises Diverged."""
    with estimators.watched():
        return np.asarray(pipeline.transform(rows), np.float64)


class ServedCentres:
    """How far rows lie from the nearest centre of the version that serves; a ``Served``.

    Such a version must answer as a pipeline that is known: the one that it was made of, *kept*, else the *first* one.
    Distances of any other may be measured at another scale, and are compared with nothing. Blocks.
    """

    def __init__(
        self, repository: Repository, columns: Columns, kept: Callable[[int], Any | None], first: Callable[[], Any]
    ) -> None:
        self._repository = repository
        self._columns = columns
        self._kept = kept
        self._first = first
        self._version = 0
        self._session: Session | None = None
        self._reason = ""

    def __call__(self, version: int, rows: Array) -> Array:
        """Return the distance of each of *rows* from the nearest centre of *version*, NaN where it is not known."""
        self._open(version)
        if self._session is None or not len(rows):
            return np.full(len(rows), np.nan)
        try:
            return np.asarray(self._scores(self._session, rows).min(axis=1))
        except ModelFailed:
            return np.full(len(rows), np.nan)

    def why_not(self, version: int) -> str:
        """Return why nothing can be compared with *version*; empty where it can."""
        self._open(version)
        return self._reason

    def _open(self, version: int) -> None:
        if version == self._version:
            return
        self._version, self._session, self._reason = version, None, ""
        file = self._repository.file_of(version)
        if not file.is_file():
            self._version = 0  # a copy of the repository may lag behind
            self._reason = f"nothing can be compared with version {version} until its file is at {file}"
            return
        try:
            session, _ = opened(file)
            if not self._agrees(session, version):
                self._reason = (
                    f"version {version} answers other distances than the pipeline that it should have been made of; "
                    f"name the one that it was converted from as start, and move the learner's directory away"
                )
                return
        except (CannotConvert, ModelFailed, Diverged) as exc:
            self._reason = f"nothing can be compared with version {version}: {exc}"
            return
        self._session = session

    def _agrees(self, session: Session, version: int) -> bool:
        """Say whether *session* answers the distances of the pipeline that *version* is known to be made of."""
        if {spec.name for spec in session.signature.outputs} != OUTPUTS:
            return False
        kept = self._kept(version)
        rows = _probes(self._columns.width)
        own = _distances(self._first() if kept is None else kept, rows)
        found = self._scores(session, rows)
        return found.shape == own.shape and bool(np.allclose(found, own, rtol=TOLERATED, atol=TOLERATED))

    def _scores(self, session: Session, rows: Array) -> Array:
        """Return all distances that *session* answers, float64 [n, centres]. Raises ModelFailed."""
        place = [spec.name for spec in session.signature.outputs].index(SCORES)
        return np.asarray(session.run(self._feeds(session, rows))[place], np.float64)

    def _feeds(self, session: Session, rows: Array) -> Mapping[str, Array]:
        kinds = {spec.name: NUMPY[spec.datatype] for spec in session.signature.inputs}
        if not self._columns.names:
            return {MATRIX: rows.astype(kinds[MATRIX])}
        return {name: rows[:, [at]].astype(kinds[name]) for at, name in enumerate(self._columns.names)}


def _probes(width: int) -> Array:
    """Return rows near and far on which two pipelines differ unless they measure alike, float64 [61, width]."""
    near = np.random.default_rng(0).normal(size=(20, width)).astype(np.float32).astype(np.float64)
    return np.concatenate([np.zeros((1, width)), near, 30.0 * near, 1000.0 * near])
