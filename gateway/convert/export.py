"""A fitted estimator as an ONNX graph whose inputs are the sample's columns and whose outputs have fixed names.

Outputs: ``label`` [n] and ``probabilities`` [n, classes] of a classifier, ``label`` alone where it has no
probabilities; ``prediction`` [n, targets] of a regressor; ``label`` and ``scores`` of outlier detectors and
clusterers; ``output`` of a transformer.

Source for the opsets and the options: measured over scikit-learn 1.6 to 1.9; newer opsets gain nothing, and with
older ones IsolationForest does not convert.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from gateway.convert import estimators, graph, stochastic
from gateway.convert.errors import CannotConvert, LibraryMissing
from gateway.convert.samples import is_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.convert.samples import Sample

OPSETS: Final = {"": 21, "ai.onnx.ml": 3}
"""The newest that the converter may use; a graph states the lowest that its nodes need."""

JOINED: Final = "gateway_joined_columns"
"""The matrix that the columns are joined to, inside the graph, for an estimator that takes one matrix."""

OUTPUTS: Final = {
    "classifier": ("label", "probabilities"),
    "regressor": ("prediction",),
    "outlier": ("label", "scores"),
    "clusterer": ("label", "scores"),
    "transformer": ("output",),
}
"""Kind of estimator → the names of the outputs, in the converter's order."""

_VECTORIZERS: Final = ("TfidfVectorizer", "CountVectorizer")


def onnx_bytes(estimator: Any, sample: Sample) -> bytes:
    """Return *estimator* as a serialized graph for the columns of *sample*. Raises CannotConvert, LibraryMissing."""
    refuse_what_cannot_be(estimator)
    _register_boosting(estimator)
    _settle(estimator)
    is_joined = not sample.is_matrix and joins_columns(estimator, sample)
    try:
        from skl2onnx import to_onnx
    except ImportError:
        raise LibraryMissing("skl2onnx", "convert") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _register_linear()
            stochastic.register()
            model = to_onnx(
                estimator,
                initial_types=_initial_types(sample, is_joined=is_joined),
                options=_options(estimator),
                target_opset=OPSETS,
                name=type(estimator).__name__,
            )
    except Exception as exc:  # the seam: the converters raise whatever they like
        raise CannotConvert(_explain(exc, estimator)) from exc
    graph.state_each_domain_once(model)
    graph.take_maps_apart(model)
    if is_joined:
        graph.join_inputs(model, JOINED, list(sample.columns))
    else:
        graph.name_inputs(model, list(sample.columns))
    graph.name_outputs(model, _output_names(estimator))
    return bytes(model.SerializeToString())


def joins_columns(estimator: Any, sample: Sample) -> bool:
    """Say whether *estimator* takes all columns as one matrix, rather than each by itself."""
    kinds = {is_text(column) for column in sample.columns.values()}
    takes_columns = type(estimators.first(estimator)).__name__ == "ColumnTransformer"
    return len(sample.columns) > 1 and len(kinds) == 1 and not takes_columns


def refuse_what_cannot_be(estimator: Any) -> None:
    """Raise CannotConvert, naming the step, for what has no equal in ONNX although a converter may not notice."""
    for path, step in estimators.steps(estimator):
        for applies, why in _impossible(step):
            if applies:
                at = f"step {path!r}, a {type(step).__name__}," if path else f"{type(step).__name__}"
                raise CannotConvert(f"{at} cannot be converted: {why}")


def _impossible(step: Any) -> Iterator[tuple[bool, str]]:
    name = type(step).__name__
    yield name == "HashingVectorizer", "ONNX has no such hash; use TfidfVectorizer or CountVectorizer with max_features"
    yield (
        name == "FunctionTransformer" and getattr(step, "func", None) is not None,
        "it calls a Python function; compute that column before the model, or use another transformer",
    )
    yield (
        name.startswith("MultiOutputClass") or name == "ClassifierChain",
        "it has several labels per row; save and convert each of its estimators_ by itself",
    )
    if name in _VECTORIZERS:
        yield bool(step.strip_accents), "strip_accents has no equal in ONNX; strip them before, and fit without it"
        yield step.analyzer not in ("word", "char"), "only the analyzers 'word' and 'char' have an equal in ONNX"
        custom = step.tokenizer is not None or step.preprocessor is not None
        yield custom, "its tokenizer or preprocessor is a Python function; use token_pattern instead"
        yield (
            bool(getattr(step, "sublinear_tf", False)),
            "the converter writes log(1 + tf) for sublinear_tf, which is not 1 + log(tf); fit without it",
        )


def _initial_types(sample: Sample, *, is_joined: bool) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    columns = sample.columns
    if is_joined:
        text = is_text(next(iter(columns.values())))
        return [(JOINED, (StringTensorType if text else FloatTensorType)([None, len(columns)]))]
    return [
        (name, StringTensorType([None, 1]) if is_text(rows) else FloatTensorType([None, _width(rows)]))
        for name, rows in columns.items()
    ]


def _width(column: Any) -> int:
    return 1 if column.ndim == 1 else int(column.shape[1])


def _options(estimator: Any) -> dict[int, dict[str, Any]]:
    """Return the converter's options, all keyed by identity: it does not take two kinds of keys at once."""
    options: dict[int, dict[str, Any]] = {}
    for _, step in estimators.steps(estimator):
        if type(step).__name__ in _VECTORIZERS:
            # In lower case the graph asks for the locale en_US.UTF-8 otherwise, which slim images lack.
            options[id(step)] = {"locale": "C"}
    return options


def _output_names(estimator: Any) -> tuple[str, ...]:
    """Return the names of the outputs that are kept."""
    names = OUTPUTS[estimators.kind(estimator)]
    if names == OUTPUTS["classifier"] and not hasattr(estimator, "predict_proba"):
        return names[:1]
    return names


def _settle(estimator: Any) -> None:
    """Change what changes no answer and keeps the converters from their work; nobody uses the estimator after them."""
    for _, step in estimators.steps(estimator):
        if type(step).__name__ == "VotingClassifier":
            step.flatten_transform = False  # shapes the output of `transform`, which is not converted
        if type(step).__module__.startswith("xgboost"):
            step.get_booster().feature_names = None  # its converter knows columns by number only


def _register_linear() -> None:
    """Let the converter ask LinearSVC for an option that it asks every classifier for, and forgot to register here."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn.svm import LinearSVC

    alias = "SklearnLinearSVC"
    options = {name: [True, False] for name in ("zipmap", "nocl", "output_class_labels", "raw_scores")}
    update_registered_converter(
        LinearSVC, alias, get_shape_calculator(alias), get_converter(alias)._fct, options=options
    )  # fmt: skip


def _register_boosting(estimator: Any) -> None:
    """Teach the converter XGBoost and LightGBM, where the estimator has one of them inside."""
    packages = {type(step).__module__.partition(".")[0] for _, step in estimators.steps(estimator)}
    if not packages & {"xgboost", "lightgbm"}:
        return
    try:
        from gateway.convert import boosting
    except ImportError:
        raise LibraryMissing("onnxmltools", "boosting") from None
    boosting.register(packages)


def _explain(exc: Exception, estimator: Any) -> str:
    """Return in words why the converter gave up, with the step that it gave up on where its text names one."""
    text = " ".join(str(exc).split())
    for path, step in reversed(list(estimators.steps(estimator))):
        name = type(step).__name__
        if f"{name}'" in text or f"{name}>" in text or f"alias '{name}" in text:
            at = f"step {path!r}, a {name}," if path else f"the estimator, a {name},"
            return f"{at} cannot be converted to ONNX: {text[:300]}; replace it by one that scikit-learn ships"
    return f"{type(estimator).__name__} cannot be converted to ONNX: {type(exc).__name__}: {text[:500]}"
