"""The confined process: read the estimator, convert it, ask it the sample, leave a report, end.

Run by ``isolation.py`` as ``python -m gateway.convert.child DIRECTORY``. Whatever the file does happens here.
"""

from __future__ import annotations

import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from gateway.convert import answers, estimators, export, messages
from gateway.convert.errors import CannotConvert, LibraryMissing
from gateway.convert.following import follow_order
from gateway.convert.messages import Order, Report
from gateway.convert.samples import read_sample

LIBRARIES: Final = (
    "scikit-learn",
    "skl2onnx",
    "onnx",
    "numpy",
    "onnxmltools",
    "xgboost",
    "xgboost-cpu",
    "lightgbm",
    "skops",
)
_BOOSTING: Final = {
    "xgboost": "xgboost",
    "xgboost-cpu": "xgboost",
    "onnxmltools": "onnxmltools",
    "lightgbm": "lightgbm",
}


def _convert(scratch: Path, order: Order, held: list[str]) -> Report:
    """Leave the graph and the original's answers in *scratch* and return the report."""
    try:
        import sklearn
    except ImportError:
        raise LibraryMissing("scikit-learn", "convert") from None
    sample = read_sample(scratch / order.sample)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", sklearn.exceptions.InconsistentVersionWarning)
        estimator = estimators.read(scratch / order.model, trusted=order.trusted)
    kind = estimators.kind(estimator)
    _refuse_unfitted(estimator)
    sample = answers.fitted_columns(estimator, sample)
    given = answers.original_answers(estimator, sample)
    (scratch / messages.GRAPH).write_bytes(export.onnx_bytes(estimator, sample))
    messages.write_answers(scratch, given)
    return Report(
        held=held,
        kind=kind,
        estimator=f"{type(estimator).__module__.partition('.')[0]}.{type(estimator).__name__}",
        columns=list(sample.columns),
        classes=list(estimators.classes(estimator)) if kind == "classifier" else [],
        parameters=estimators.parameters(estimator),
        libraries=_libraries(),
        notes=sorted({str(each.message).partition("\n")[0][:300] for each in told})[:3],
    )


def _refuse_unfitted(estimator: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError as exc:
        raise CannotConvert(
            f"the {type(estimator).__name__} in the file is not fitted; fit it before you save it"
        ) from exc


def _libraries() -> dict[str, str]:
    """Return the versions of what took part."""
    found = {}
    for name in LIBRARIES:
        if name in _BOOSTING and _BOOSTING[name] not in sys.modules:
            continue
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(follow_order(Path(sys.argv[1]), _convert))
