"""What a fitted estimator is: its file, its steps, its kind, its classes, its parameters.

Reading a pickle runs what the pickle says. So `read` is called in a confined process only (``child.py``), and so
is everything else here, since the estimator's own methods are no safer.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from gateway.convert.errors import CannotConvert, LibraryMissing, NotTrusted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PICKLES: Final = (".joblib", ".pkl", ".pickle")
SKOPS: Final = ".skops"
XGBOOST: Final = (".ubj", ".json", ".xgb")
"""What XGBoost itself saves: numbers and settings, no code."""

MAX_PARAMETERS: Final = 100
MAX_PARAMETER_CHARACTERS: Final = 200
MAX_CLASSES: Final = 10_000

_EXTRA_OF: Final = {"xgboost": "boosting", "lightgbm": "boosting", "onnxmltools": "boosting"}


def read(path: Path, *, trusted: bool) -> Any:
    """Return the estimator in the file at *path*. Raises CannotConvert, NotTrusted, LibraryMissing."""
    try:
        if path.suffix == SKOPS:
            return _read_skops(path, trusted=trusted)
        if path.suffix in XGBOOST:
            return _read_xgboost(path)
        import joblib

        return joblib.load(path)
    except CannotConvert:
        raise
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package in _EXTRA_OF:
            raise LibraryMissing(package, _EXTRA_OF[package]) from exc
        raise CannotConvert(
            f"the file needs the module {exc.name!r}, which is not here; "
            f"install it, or name its directory in PYTHONPATH"
        ) from exc
    except Exception as exc:  # the seam: a pickle may raise anything
        raise CannotConvert(f"the file cannot be read: {type(exc).__name__}: {_first_line(exc)}") from exc


def _read_skops(path: Path, *, trusted: bool) -> Any:
    try:
        import skops.io
    except ImportError:
        raise LibraryMissing("skops", "convert") from None
    unknown = skops.io.get_untrusted_types(file=path)
    if unknown and not trusted:
        raise NotTrusted(
            f"the file asks for types that skops does not know to be harmless: {', '.join(sorted(unknown)[:10])}; "
            f"look at them, and add --trust if you trust whoever wrote the file"
        )
    return skops.io.load(path, trusted=unknown)


def _read_xgboost(path: Path) -> Any:
    """Return the estimator that XGBoost's scikit-learn interface saved; it notes in the file of which kind it was."""
    try:
        import xgboost
    except ImportError:
        raise LibraryMissing("xgboost", "boosting") from None
    content = bytearray(path.read_bytes())
    booster = xgboost.Booster()
    booster.load_model(content)
    kinds = {"classifier": xgboost.XGBClassifier, "regressor": xgboost.XGBRegressor}
    noted = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
    if noted not in kinds:
        raise CannotConvert(
            "the file holds an xgboost Booster; train with the scikit-learn interface, XGBClassifier or XGBRegressor, "
            "and save that"
        )
    estimator = kinds[noted]()
    estimator.load_model(content)
    return estimator


def steps(estimator: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the estimator and every fitted one inside it, each with its path, such as ``preprocess.text``."""
    yield name, estimator
    for inner, each in _inside(estimator):
        yield from steps(each, f"{name}.{inner}" if name else inner)


def _inside(estimator: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an estimator is made of: steps, columns' transformers, members of an ensemble, what it wraps."""
    for attribute in ("steps", "transformers_", "transformer_list", "estimators"):
        members = getattr(estimator, attribute, None)
        if isinstance(members, list):
            pairs = [each for each in members if isinstance(each, tuple) and len(each) >= 2]
            yield from ((str(each[0]), each[1]) for each in pairs if hasattr(each[1], "get_params"))
    for attribute in ("best_estimator_", "estimator_", "regressor_", "final_estimator_"):
        inner = getattr(estimator, attribute, None)
        if hasattr(inner, "get_params"):
            yield attribute.rstrip("_"), inner


def first(estimator: Any) -> Any:
    """Return the innermost step that sees the inputs first."""
    while True:
        chain = getattr(estimator, "steps", None)
        if isinstance(chain, list) and chain:
            estimator = next((each for _, each in chain if each not in (None, "passthrough")), None)
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator


def kind(estimator: Any) -> str:
    """Return classifier, regressor, outlier, clusterer or transformer. Raises CannotConvert for anything else."""
    from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor

    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        advice = "save the fitted scikit-learn estimator itself"
        if type(estimator).__name__ == "Booster":
            advice = "train with the scikit-learn interface, such as XGBClassifier or LGBMClassifier, and save that"
        raise CannotConvert(f"the file holds a {_name(estimator)}, which is no estimator; {advice}")
    if is_classifier(estimator):
        return "classifier"
    if is_regressor(estimator):
        return "regressor"
    if is_outlier_detector(estimator):
        return "outlier"
    if is_clusterer(estimator) or hasattr(estimator, "predict"):
        return "clusterer"
    if hasattr(estimator, "transform"):
        return "transformer"
    raise CannotConvert(f"a {_name(estimator)} neither predicts nor transforms; save an estimator that does")


def classes(estimator: Any) -> tuple[str, ...]:
    """Return the classes as text in the order of the columns of ``probabilities``; empty where there are none."""
    known = getattr(estimator, "classes_", None)
    if known is None or isinstance(known, list) or len(known) > MAX_CLASSES:
        return ()
    return tuple(str(int(each)) if type(each).__name__ in {"bool", "bool_"} else str(each) for each in known)


def parameters(estimator: Any) -> dict[str, str | int | float | bool]:
    """Return the parameters that are plain values, and the others as short text, at most MAX_PARAMETERS of them."""
    found: dict[str, str | int | float | bool] = {}
    for name, value in sorted(estimator.get_params(deep=True).items()):
        if len(found) == MAX_PARAMETERS:
            break
        if value is None or hasattr(value, "get_params"):
            continue
        is_plain = isinstance(value, bool | int) and abs(value) < 10**18
        if is_plain or (isinstance(value, float) and math.isfinite(value)):
            found[name] = value if isinstance(value, bool) else _plain(value)
        elif not (isinstance(value, list | tuple) and any(hasattr(each, "get_params") for each in _flat(value))):
            found[name] = str(value)[:MAX_PARAMETER_CHARACTERS]
    return found


def _plain(value: int | float) -> int | float:
    """Return a number as Python's own kind: numpy's floats are floats too, and YAML would not write them."""
    return int(value) if isinstance(value, int) else float(value)


def _flat(value: Any) -> Iterator[Any]:
    for each in value:
        if isinstance(each, list | tuple):
            yield from _flat(each)
        else:
            yield each


def _name(thing: Any) -> str:
    kind_of = thing if isinstance(thing, type) else type(thing)
    return f"{kind_of.__module__.partition('.')[0]} {kind_of.__name__}"


def _first_line(exc: BaseException) -> str:
    return str(exc).partition("\n")[0][:500]
