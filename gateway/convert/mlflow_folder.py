"""A model that MLflow saved: a folder with ``MLmodel``, which says of what flavour it is and where its file lies.

MLflow itself is not needed. Read are the flavours sklearn, xgboost, lightgbm and onnx, as MLflow 1 to 3 write them;
the code, environment and requirements that may lie in the folder are not looked at.

Source: MLflow, "MLflow Model Format" (https://mlflow.org/docs/latest/ml/model/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.convert.errors import CannotConvert
from gateway.strict_yaml import read_document

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION: Final = "MLmodel"
MAX_BYTES: Final = 1 << 20
MAX_CHARACTERS: Final = 200
"""Of one text that the metadata takes over."""

FLAVOURS: Final = {"onnx": "data", "sklearn": "pickled_model", "xgboost": "data", "lightgbm": "data"}
"""Flavour → the member that names its file. The first that a model has is taken: an ONNX graph needs no conversion."""

_TOLD: Final = {
    "model_uuid": "model_uuid",
    "run_id": "run",
    "mlflow_version": "mlflow_version",
    "utc_time_created": "created",
}
"""Member of ``MLmodel`` → what the metadata calls it."""


def read(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the file that holds the model in *folder*, and what ``MLmodel`` says of it as members of metadata.

    Raises CannotConvert.
    """
    described = _description(folder)
    flavours = described.get("flavors")
    if not isinstance(flavours, dict):
        raise CannotConvert(f"{folder / DESCRIPTION} names no flavors; save the model with MLflow again")
    flavour = next((name for name in FLAVOURS if isinstance(flavours.get(name), dict)), None)
    if flavour is None:
        raise CannotConvert(
            f"the model in {folder} is of the flavours {', '.join(map(str, flavours)) or 'none'}, and read are "
            f"{', '.join(FLAVOURS)}; log it with one of them"
        )
    told = {new: str(described[old])[:MAX_CHARACTERS] for old, new in _TOLD.items() if described.get(old)}
    file = _file(folder, flavour, flavours[flavour])
    return file, {"imported": {"format": "mlflow", "flavour": flavour, **told}}


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise CannotConvert(f"{path} has more than {MAX_BYTES} bytes, so it is no description of a model")
        found = read_document(content)
    except OSError as exc:
        raise CannotConvert(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise CannotConvert(f"{path} cannot be read: {exc}") from exc
    if not isinstance(found, dict):
        raise CannotConvert(f"{path} is no description of a model; save the model with MLflow again")
    return found


def _file(folder: Path, flavour: str, said: dict[str, Any]) -> Path:
    """Return the file that a flavour names; it lies in *folder*, whatever the name says."""
    name = said.get(FLAVOURS[flavour])
    where = f"{folder / DESCRIPTION}: flavors.{flavour}.{FLAVOURS[flavour]}"
    if not isinstance(name, str) or not name:
        raise CannotConvert(f"{where} names no file; save the model with MLflow again")
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CannotConvert(
            f"{where} names {name!r}, which lies outside the folder; do not trust whoever gave it to you"
        )
    if not path.is_file():
        raise CannotConvert(f"{where} names {name!r}, and there is no such file; copy the whole folder")
    if path.suffix == ".lgb":
        raise CannotConvert(
            f"{path} is a LightGBM Booster; train with the scikit-learn interface, such as LGBMClassifier, and log that"
        )
    return path
