"""Each kind of estimator that is promised: inputs are the columns, outputs have the fixed names, answers agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("skops", reason="conversions need the `convert` extra")
pytest.importorskip("pandas", reason="conversions need the `convert` extra")
pytest.importorskip("skl2onnx", reason="conversions need the `convert` extra")

import pandas as pd
from sklearn import (
    calibration,
    cluster,
    compose,
    ensemble,
    impute,
    linear_model,
    mixture,
    model_selection,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.datasets import load_diabetes, load_wine
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer

from gateway.convert import answers, estimators, export, parity
from gateway.convert.errors import CannotConvert
from gateway.convert.samples import is_text, read_sample
from gateway.engine.onnx import OnnxEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[[], Any]

WINE, WINE_LABELS = load_wine(return_X_y=True, as_frame=True)
SUGAR, SUGAR_TARGET = load_diabetes(return_X_y=True, as_frame=True)
DRAW = np.random.default_rng(0)
MIXED = pd.DataFrame(
    {
        "age": DRAW.integers(18, 80, 200),
        "monthly income": DRAW.normal(4e4, 1e4, 200).round(2),
        "city": DRAW.choice(["Rome", "Oslo", "Köln"], 200),
        "plan": DRAW.choice(["a", "b"], 200),
    }
)
MIXED.loc[::7, "monthly income"] = np.nan
CHOICE = ((MIXED.age > 40) & (MIXED.city != "Oslo")).map({True: "yes", False: "no"})
TEXTS = pd.DataFrame({"review": ["good movie", "bad film", "Very GOOD indeed", "awful, bad", "superb", "dull"] * 5})
MOODS = [1, 0, 1, 0, 1, 0] * 5
ASCII = "[a-zA-Z0-9]+"


def scaled(last: Any) -> Any:
    return pipeline.make_pipeline(preprocessing.StandardScaler(), last)


def by_column() -> Any:
    numbers = pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    texts = preprocessing.OneHotEncoder(handle_unknown="ignore")
    return compose.ColumnTransformer([("n", numbers, ["age", "monthly income"]), ("t", texts, ["city", "plan"])])


def boosted(package: str, name: str, **given: Any) -> Make:
    def make() -> Any:
        return getattr(pytest.importorskip(package), name)(n_estimators=8, **given)

    return make


CLASSIFIERS: dict[str, Make] = {
    "logistic": lambda: scaled(linear_model.LogisticRegression()),
    "descent": lambda: scaled(linear_model.SGDClassifier(loss="log_loss", random_state=0)),
    "forest": lambda: ensemble.RandomForestClassifier(8, random_state=0),
    "extra": lambda: ensemble.ExtraTreesClassifier(8, random_state=0),
    "boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0),
    "histogram": lambda: ensemble.HistGradientBoostingClassifier(max_iter=5, random_state=0),
    "tree": lambda: tree.DecisionTreeClassifier(random_state=0),
    "neighbours": lambda: scaled(neighbors.KNeighborsClassifier()),
    "bayes": lambda: scaled(naive_bayes.GaussianNB()),
    "network": lambda: scaled(neural_network.MLPClassifier((8,), solver="lbfgs", random_state=0)),
    "calibrated": lambda: calibration.CalibratedClassifierCV(scaled(svm.LinearSVC(random_state=0))),
    "voting": lambda: ensemble.VotingClassifier([("a", scaled(naive_bayes.GaussianNB()))], voting="soft"),
    "stacking": lambda: ensemble.StackingClassifier([("a", scaled(naive_bayes.GaussianNB()))]),
    "search": lambda: model_selection.GridSearchCV(
        scaled(linear_model.LogisticRegression()), {"logisticregression__C": [0.1, 1.0]}
    ),
    "columns": lambda: pipeline.make_pipeline(
        compose.ColumnTransformer([("s", preprocessing.StandardScaler(), ["alcohol", "proline"])], remainder="drop"),
        linear_model.LogisticRegression(),
    ),
    "xgboost": boosted("xgboost", "XGBClassifier"),
    "lightgbm": boosted("lightgbm", "LGBMClassifier", verbose=-1),
}
LABEL_ONLY: dict[str, Make] = {
    "linear svc": lambda: scaled(svm.LinearSVC(random_state=0)),
    "svc": lambda: scaled(svm.SVC()),
    "ridge": lambda: scaled(linear_model.RidgeClassifier()),
}
REGRESSORS: dict[str, Make] = {
    "ridge": linear_model.Ridge,
    "forest": lambda: ensemble.RandomForestRegressor(8, random_state=0),
    "histogram": lambda: ensemble.HistGradientBoostingRegressor(max_iter=5),
    "svr": svm.SVR,
    "neighbours": neighbors.KNeighborsRegressor,
    "xgboost": boosted("xgboost", "XGBRegressor"),
    "lightgbm": boosted("lightgbm", "LGBMRegressor", verbose=-1),
}
SCORED: dict[str, Make] = {
    "isolation": lambda: ensemble.IsolationForest(n_estimators=8, random_state=0),
    "one class": lambda: scaled(svm.OneClassSVM()),
    "local factor": lambda: scaled(neighbors.LocalOutlierFactor(novelty=True)),
    "k means": lambda: scaled(cluster.KMeans(3, n_init=2, random_state=0)),
    "mixture": lambda: scaled(mixture.GaussianMixture(2, covariance_type="diag", random_state=0)),
}
TEXT: dict[str, Make] = {
    "tf-idf": lambda: pipeline.make_pipeline(TfidfVectorizer(token_pattern=ASCII), linear_model.LogisticRegression()),
    "counts": lambda: pipeline.make_pipeline(CountVectorizer(token_pattern=ASCII), naive_bayes.MultinomialNB()),
}

CASES = [
    *[(make, WINE, WINE_LABELS, {"label", "probabilities"}, name) for name, make in CLASSIFIERS.items()],
    *[(make, WINE, WINE_LABELS, {"label"}, name) for name, make in LABEL_ONLY.items()],
    *[(make, SUGAR, SUGAR_TARGET, {"prediction"}, name) for name, make in REGRESSORS.items()],
    *[(make, WINE, None, {"label", "scores"}, name) for name, make in SCORED.items()],
    *[(make, TEXTS, MOODS, {"label", "probabilities"}, name) for name, make in TEXT.items()],
    (lambda: scaled(preprocessing.PolynomialFeatures(2)), SUGAR, None, {"output"}, "transformer"),
    (
        lambda: pipeline.make_pipeline(by_column(), linear_model.LogisticRegression()),
        MIXED, CHOICE, {"label", "probabilities"}, "mixed columns",
    ),
    (
        lambda: pipeline.make_pipeline(by_column(), ensemble.GradientBoostingClassifier(n_estimators=5)),
        MIXED, CHOICE == "yes", {"label", "probabilities"}, "truth values",
    ),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "frame", "target", "names"), [c[:4] for c in CASES], ids=[c[4] for c in CASES])
def test_an_estimator_becomes_a_graph_that_answers_alike(
    make: Make, frame: pd.DataFrame, target: Any, names: set[str], tmp_path: Path
) -> None:
    frame.to_csv(tmp_path / "rows.csv", index=False)
    estimator = make().fit(frame.iloc[:, 0] if frame is TEXTS else frame, target)
    sample = answers.fitted_columns(estimator, read_sample(tmp_path / "rows.csv"))
    original = answers.original_answers(estimator, sample)
    (tmp_path / "model.onnx").write_bytes(export.onnx_bytes(estimator, sample))
    session = OnnxEngine().load(tmp_path / "model.onnx", model="m", version=1, threads=1)

    feeds = {n: (c if is_text(c) else c.astype(np.float32)).reshape(-1, 1) for n, c in sample.columns.items()}
    found = dict(zip((spec.name for spec in session.signature.outputs), session.run(feeds), strict=True))

    assert [(spec.name, spec.shape) for spec in session.signature.inputs] == [(n, (-1, 1)) for n in frame.columns]
    assert set(found) == names
    assert parity.compare(original, found).reason == ""
    assert "label" not in found or found["label"].shape == (len(frame),)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: pipeline.make_pipeline(HashingVectorizer(), linear_model.LogisticRegression()), "hashingvectorizer"),
        (
            lambda: pipeline.make_pipeline(TfidfVectorizer(strip_accents="ascii"), naive_bayes.MultinomialNB()),
            "accents",
        ),
        (lambda: pipeline.make_pipeline(TfidfVectorizer(analyzer="char_wb"), naive_bayes.MultinomialNB()), "analyzers"),
        (
            lambda: pipeline.make_pipeline(TfidfVectorizer(sublinear_tf=True), naive_bayes.MultinomialNB()),
            "log(1 + tf)",
        ),
        (lambda: scaled(preprocessing.FunctionTransformer(np.log1p)), "functiontransformer"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_has_no_equal_is_refused_and_the_step_is_named(make: Make, said: str, tmp_path: Path) -> None:
    TEXTS.to_csv(tmp_path / "rows.csv", index=False)

    with pytest.raises(CannotConvert) as caught:
        export.onnx_bytes(make(), read_sample(tmp_path / "rows.csv"))

    assert said in str(caught.value)


def test_an_estimator_that_the_converter_does_not_know_is_named(tmp_path: Path) -> None:
    SUGAR.to_csv(tmp_path / "rows.csv", index=False)
    unknown = compose.TransformedTargetRegressor(linear_model.Ridge()).fit(SUGAR, SUGAR_TARGET)

    with pytest.raises(CannotConvert, match="a TransformedTargetRegressor, cannot be converted"):
        export.onnx_bytes(unknown, read_sample(tmp_path / "rows.csv"))


def test_parameters_are_plain_bounded_and_finite() -> None:
    found = estimators.parameters(scaled(ensemble.RandomForestClassifier(np.int64(7), max_features=float("nan"))))

    assert found["randomforestclassifier__n_estimators"] in (7, "7")
    assert found["randomforestclassifier__max_features"] == "nan"
    assert all(type(value) in (str, int, float, bool) for value in found.values())
