"""The scikit-learn pipeline that learns: made, taught, asked, and written without a pickle.

A pipeline is steps of preparation and a last one that predicts. Where it is taught row by row, a step of preparation
that can learn so does, and one that cannot stays as it was fitted. scikit-learn is imported where it is used.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.convert.errors import LibraryMissing
from gateway.learning.errors import CannotLearn, Diverged, StateUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from gateway.learning.document import LearnerDocument

    Array = NDArray[Any]

CLUSTERING: Final = "clustering"
TASKS: Final = ("classification", "regression", CLUSTERING)
STRATEGIES: Final = ("incremental", "batch")


@dataclass(frozen=True, slots=True)
class Kind:
    """One estimator of scikit-learn by its *path*, with parameters that an operator may replace."""

    path: str
    is_incremental: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)


_AGGRESSIVE: Final = {"penalty": None, "learning_rate": "pa1", "eta0": 1.0, "random_state": 0}

KINDS: Final[Mapping[str, Mapping[str, Kind]]] = {
    "sgd": {
        "classification": Kind("linear_model.SGDClassifier", True, {"loss": "log_loss", "random_state": 0}),
        "regression": Kind("linear_model.SGDRegressor", True, {"random_state": 0}),
    },
    "passive-aggressive": {
        "classification": Kind("linear_model.SGDClassifier", True, {"loss": "hinge", **_AGGRESSIVE}),
        "regression": Kind("linear_model.SGDRegressor", True, {"loss": "epsilon_insensitive", **_AGGRESSIVE}),
    },
    "naive-bayes": {"classification": Kind("naive_bayes.GaussianNB", True)},
    "linear": {
        "classification": Kind("linear_model.LogisticRegression", False, {"max_iter": 1000}),
        "regression": Kind("linear_model.Ridge", False),
    },
    "mini-batch-kmeans": {CLUSTERING: Kind("cluster.MiniBatchKMeans", True)},
}
"""Name in ``learner.yaml`` → task → estimator. Passive-aggressive learning is a rate of scikit-learn's SGD since 1.8;
source: Crammer et al., "Online Passive-Aggressive Algorithms", JMLR 7, 2006."""


def fresh(document: LearnerDocument) -> Any:
    """Return a pipeline that has learned nothing. Raises CannotLearn for parameters that the estimator has not."""
    pipeline = _sklearn("pipeline")
    kind = KINDS[document.learner][document.task]
    module, _, name = kind.path.partition(".")
    try:
        last = getattr(_sklearn(module), name)(**{**kind.parameters, **document.parameters})
    except TypeError as exc:
        raise CannotLearn(f"parameters: {name} takes none of that kind ({exc}); see scikit-learn's page on it") from exc
    before = [_sklearn("preprocessing").StandardScaler()] if document.scale else []
    return pipeline.make_pipeline(*before, last)


def try_out(document: LearnerDocument, width: int) -> None:
    """Teach a pipeline that is thrown away two rows of *width* columns. Raises CannotLearn where it takes no such."""
    rows, said = np.eye(2, width), np.array(document.classes[:2] or (0.0, 1.0))
    pipeline = fresh(document)
    try:
        if document.strategy == "batch":
            refit(pipeline, rows, said)
        else:
            learn(pipeline, rows, said, document.classes)
    except (Diverged, TypeError) as exc:
        raise CannotLearn(f"parameters: {document.learner} cannot learn with them: {str(exc)[:300]}") from exc


def is_fitted(pipeline: Any) -> bool:
    """Say whether *pipeline* can predict."""
    try:
        _sklearn("utils.validation").check_is_fitted(pipeline.steps[-1][1])
    except _sklearn("exceptions").NotFittedError:
        return False
    return True


def learn(pipeline: Any, rows: Array, said: Array, classes: Sequence[Any]) -> None:
    """Teach *pipeline* rows, float64 [n, columns], and what was *said* of each, [n]; *classes* are all there are.

    Raises Diverged.
    """
    *before, (_, last) = pipeline.steps
    with watched():
        for _, step in before:
            if hasattr(step, "partial_fit"):
                step.partial_fit(rows)
            rows = step.transform(rows)
        last.partial_fit(rows, said, **({"classes": np.array(classes)} if classes else {}))


def refit(pipeline: Any, rows: Array, said: Array) -> Any:
    """Return a new pipeline with the parameters of *pipeline*, fitted on these rows alone. Raises Diverged."""
    again = _sklearn("base").clone(pipeline)
    with watched():
        return again.fit(rows, said)


def predict(pipeline: Any, rows: Array) -> Array:
    """Return one class or number per row, [n]. Raises Diverged."""
    with watched():
        return np.asarray(pipeline.predict(rows)).reshape(len(rows))


@contextmanager
def watched() -> Iterator[None]:
    """Raise Diverged for what scikit-learn refuses, and keep to ourselves what it warns of, such as few rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ValueError as exc:
            raise Diverged(str(exc).partition("\n")[0][:300]) from exc


def written(pipeline: Any) -> bytes:
    """Return *pipeline* as skops writes it: types and numbers, no code."""
    return bytes(_skops().dumps(pipeline))


def read(content: bytes, what: str) -> Any:
    """Return the pipeline that ``written`` wrote; *what* names where it lay. Raises StateUnreadable.

    Types that skops does not know to be harmless are refused, whoever wrote them.
    """
    try:
        unknown = _skops().get_untrusted_types(data=content)
        if unknown:
            raise StateUnreadable(f"{what} asks for types that are not read: {', '.join(sorted(unknown)[:5])}")
        found = _skops().loads(content)
    except StateUnreadable:
        raise
    except Exception as exc:  # the seam: skops raises whatever its parts do
        raise StateUnreadable(f"{what} holds no pipeline: {type(exc).__name__}: {str(exc)[:200]}") from exc
    if not isinstance(getattr(found, "steps", None), list):
        raise StateUnreadable(f"{what} holds a {type(found).__name__}, which is no pipeline; save a Pipeline")
    return found


def _sklearn(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"sklearn.{name}")
    except ModuleNotFoundError:
        raise LibraryMissing("scikit-learn", "convert") from None


def _skops() -> Any:
    try:
        import skops.io
    except ModuleNotFoundError:
        raise LibraryMissing("skops", "convert") from None
    return skops.io
