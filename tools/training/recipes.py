"""What each shipped version is: an estimator, its parameters, and where it comes from.

A recipe fits and nothing more; `tools.training.export` turns the result into files.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tools.training import data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

ASCII_WORD: Final = r"[a-zA-Z0-9]+"
"""The only token pattern that onnxruntime and scikit-learn read alike: an accent ends a word in both.

``sublinear_tf`` is left out for the same reason: scikit-learn takes 1 + log(tf), the converter writes log(1 + tf).
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fit one version.

    *estimator* builds it unfitted, ready for ``set_params(**parameters)``. A child names its *parent*
    version; *derive* then makes it from the parent, which is fitted anew, with the same parameters.
    """

    model: str
    version: int
    parameters: Mapping[str, Any]
    notes: str
    estimator: Callable[[], Any] | None = None
    parent: Recipe | None = None
    derive: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """``MODEL/VERSION``, as the command line writes it."""
        return f"{self.model}/{self.version}"


def fit(recipe: Recipe) -> Any:
    """Return the fitted scikit-learn estimator of *recipe*.

    Deterministic on one machine: one thread adds in one order. On a busy machine it is also many times faster
    than several, whose threads wait for each other in the small products of these models.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no annotations

    if recipe.parent is not None and recipe.derive is not None:
        return recipe.derive(fit(recipe.parent), **recipe.parameters)
    if recipe.estimator is None:
        raise ValueError(f"the recipe of {recipe.name} neither builds an estimator nor derives one")
    parts = data.split(recipe.model)
    estimator = recipe.estimator().set_params(**recipe.parameters)
    with threadpool_limits(limits=1):
        return estimator.fit(rows(parts.train_inputs), parts.train_labels)


def rows(inputs: NDArray[Any]) -> NDArray[Any]:
    """Return *inputs* as scikit-learn takes them: a list of texts is one-dimensional there, [n, 1] in the model."""
    return inputs[:, 0] if inputs.dtype == object else inputs


def _scaled_regression() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())


def _boosting() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier()


def _scaled_network() -> Any:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), MLPClassifier())


def _words_and_bayes() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    return make_pipeline(TfidfVectorizer(token_pattern=ASCII_WORD), MultinomialNB())


def _words_and_regression() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(TfidfVectorizer(token_pattern=ASCII_WORD), LogisticRegression())


def _keep_trees(boosting: Any, kept_trees: int) -> Any:
    """Return *boosting* stopped after its first *kept_trees* stages, without what later stages would have corrected."""
    pruned = copy.copy(boosting)
    pruned.estimators_ = boosting.estimators_[:kept_trees]
    pruned.n_estimators_ = kept_trees
    return pruned


BREAST_CANCER_2: Final = Recipe(
    "breast-cancer",
    2,
    {"n_estimators": 100, "max_depth": 3, "subsample": 0.8, "max_features": 6, "random_state": 0},
    "Boosted trees: more work per row than version 1, and no better on this data. A canary worth watching.",
    _boosting,
)

RECIPES: Final = (
    Recipe(
        "breast-cancer",
        1,
        {"logisticregression__max_iter": 1000},
        "Scaler and logistic regression: the smallest model that does the work.",
        _scaled_regression,
    ),
    BREAST_CANCER_2,
    Recipe(
        "breast-cancer",
        3,
        {"kept_trees": 60},
        "Version 2 without its last 40 trees: cheaper, and close to its parent rather than equal to it.",
        parent=BREAST_CANCER_2,
        derive=_keep_trees,
    ),
    Recipe(
        "digits",
        1,
        {"logisticregression__max_iter": 1000},
        "Scaler and logistic regression over the 64 pixels, each 0 to 16.",
        _scaled_regression,
    ),
    Recipe(
        "digits",
        2,
        {
            "mlpclassifier__hidden_layer_sizes": [96],
            "mlpclassifier__alpha": 0.01,
            "mlpclassifier__max_iter": 400,
            "mlpclassifier__random_state": 0,
        },
        "A network with one hidden layer; better than version 1.",
        _scaled_network,
    ),
    Recipe(
        "text-topics",
        1,
        {"tfidfvectorizer__max_features": 300},
        "Naive Bayes over the 300 commonest words.",
        _words_and_bayes,
    ),
    Recipe(
        "text-topics",
        2,
        {
            "tfidfvectorizer__max_features": 2000,
            "logisticregression__C": 3.0,
            "logisticregression__max_iter": 500,
        },
        "Logistic regression over 2000 words; better than version 1.",
        _words_and_regression,
    ),
)
"""Every shipped version, parents before children."""
