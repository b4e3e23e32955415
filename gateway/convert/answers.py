"""What the original answers to the sample, under the names of the converted model's outputs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.convert import estimators
from gateway.convert.errors import CannotConvert
from gateway.convert.export import joins_columns
from gateway.convert.samples import MATRIX, is_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gateway.convert.samples import Sample

    Array = NDArray[Any]


def fitted_columns(estimator: Any, sample: Sample) -> Sample:
    """Return the columns of *sample* that *estimator* was fitted with, in its order. Raises CannotConvert."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and not sample.is_matrix:
        # LightGBM writes a blank in a column's name as an underscore.
        written = {name.replace(" ", "_"): name for name in sample.columns}
        return sample.only([each if each in sample.columns else written.get(each, each) for each in map(str, names)])
    wanted = getattr(estimator, "n_features_in_", None)
    have = sample.columns[MATRIX].shape[1] if sample.is_matrix else len(sample.columns)
    if wanted is not None and wanted != have:
        raise CannotConvert(
            f"the estimator was fitted with {wanted} columns and the sample has {have}; give the same columns, without "
            f"the label and without an index (pandas writes one unless told index=False)"
        )
    return sample


def original_answers(estimator: Any, sample: Sample) -> dict[str, Array]:
    """Return output name → what *estimator* answers, [rows] or [rows, columns]. Raises CannotConvert."""
    rows = _rows(estimator, sample)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {name: np.asarray(answer) for name, answer in _answers(estimator, rows).items()}
    except Exception as exc:  # the seam: an estimator may raise anything
        first = str(exc).partition("\n")[0][:300]
        raise CannotConvert(f"the original cannot answer the sample: {type(exc).__name__}: {first}") from exc


def _answers(estimator: Any, rows: Any) -> dict[str, Any]:
    kind = estimators.kind(estimator)
    if kind == "transformer":
        found = estimator.transform(rows)
        return {"output": found.toarray() if hasattr(found, "toarray") else found}
    if kind == "regressor":
        found = np.asarray(estimator.predict(rows))
        return {"prediction": found.reshape(len(found), -1)}
    answers = {"label": estimator.predict(rows)}
    if kind == "outlier":
        answers["scores"] = np.asarray(estimator.decision_function(rows)).reshape(-1, 1)
    elif hasattr(estimator, "predict_proba"):
        answers["probabilities" if kind == "classifier" else "scores"] = estimator.predict_proba(rows)
    elif kind == "clusterer" and hasattr(estimator, "transform"):
        answers["scores"] = estimator.transform(rows)
    return answers


def _rows(estimator: Any, sample: Sample) -> Any:
    """Return the rows as the estimator was fitted on them: a matrix, a table, or a list of texts."""
    if sample.is_matrix:
        return sample.as_read[MATRIX]
    columns = sample.as_read
    if len(columns) == 1 and is_text(only := next(iter(columns.values()))) and _takes_texts(estimator):
        return only
    if getattr(estimator, "feature_names_in_", None) is not None:
        import pandas as pd

        return pd.DataFrame(columns)
    if joins_columns(estimator, sample) or not any(map(is_text, columns.values())):
        return np.column_stack(list(columns.values()))
    return np.column_stack([column.astype(object) for column in columns.values()])


def _takes_texts(estimator: Any) -> bool:
    return type(estimators.first(estimator)).__name__.endswith("Vectorizer")
