"""XGBoost and LightGBM inside scikit-learn: their converters, made known to the one that converts the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

if TYPE_CHECKING:
    from collections.abc import Collection

_CLASSIFIER_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False]}


def register(packages: Collection[str]) -> None:
    """Register the converters of those of *packages* that this module knows. Raises ImportError."""
    if "xgboost" in packages:
        _xgboost()
    if "lightgbm" in packages:
        _lightgbm()


def _xgboost() -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from xgboost import XGBClassifier, XGBRegressor

    update_registered_converter(
        XGBClassifier, "XGBoostXGBClassifier", calculate_linear_classifier_output_shapes, convert_xgboost,
        options=_CLASSIFIER_OPTIONS,
    )  # fmt: skip
    update_registered_converter(
        XGBRegressor, "XGBoostXGBRegressor", calculate_linear_regressor_output_shapes, convert_xgboost
    )


def _lightgbm() -> None:
    from lightgbm import LGBMClassifier, LGBMRegressor
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    update_registered_converter(
        LGBMClassifier, "LightGbmLGBMClassifier", calculate_linear_classifier_output_shapes, convert_lightgbm,
        options=_CLASSIFIER_OPTIONS,
    )  # fmt: skip
    update_registered_converter(
        LGBMRegressor, "LightGbmLGBMRegressor", calculate_linear_regressor_output_shapes, convert_lightgbm,
        options={"split": None},
    )  # fmt: skip
