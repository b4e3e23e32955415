"""A fitted version as the two files of the repository: ``model.onnx`` and ``metadata.yaml``.

What the metadata states is measured on the file itself, through onnxruntime, never on the
estimator it came from.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
from typing import TYPE_CHECKING, Any, Final

import yaml

from tools.training import data
from tools.training.recipes import Recipe, fit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

CREATED: Final = "2026-11-21T00:00:00Z"
"""Fixed, so that making a version again changes nothing. Move it when a recipe changes."""

OPSETS: Final = {"": 21, "ai.onnx.ml": 3}
"""The newest that the converter may use; a graph states the lowest that its nodes need."""

LIBRARIES: Final = ("scikit-learn", "onnx", "numpy")


def directory(models: Path, recipe: Recipe) -> Path:
    """Return the directory of a version inside the repository *models*."""
    return models / recipe.model / str(recipe.version)


def predict(path: Path, inputs: Array) -> tuple[Array, Array]:
    """Return the labels [n] and probabilities [n, classes] that the file at *path* gives for *inputs*."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["label", "probabilities"], {session.get_inputs()[0].name: inputs})
    return labels, probabilities


def agreement(left: tuple[Array, Array], right: tuple[Array, Array]) -> dict[str, float]:
    """Return how far two versions' answers to the same rows lie apart, both rounded to the worse side."""
    return {
        "labels_equal": math.floor(float((left[0] == right[0]).mean()) * 1e6) / 1e6,
        "largest_probability_difference": math.ceil(float(abs(left[1] - right[1]).max()) * 1e6) / 1e6,
    }


def export(recipe: Recipe, models: Path) -> dict[str, Any]:
    """Fit *recipe* and write its files below *models*; return the metadata. Its parent must be there already."""
    target = directory(models, recipe)
    target.mkdir(parents=True, exist_ok=True)
    (target / "model.onnx").write_bytes(onnx_bytes(recipe, fit(recipe)))
    metadata = _metadata(recipe, models)
    text = yaml.safe_dump(metadata, sort_keys=False, width=120)
    (target / "metadata.yaml").write_text(text, encoding="utf-8")
    return metadata


def onnx_bytes(recipe: Recipe, estimator: Any) -> bytes:
    """Convert *estimator* so that its outputs are two tensors, and a text model needs no locale but C."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    options: dict[int, dict[str, Any]] = {id(estimator): {"zipmap": False}}
    steps = getattr(estimator, "named_steps", {})
    if "tfidfvectorizer" in steps:
        options[id(steps["tfidfvectorizer"])] = {"locale": "C"}
        inputs = [("text", StringTensorType([None, 1]))]
    else:
        inputs = [("input", FloatTensorType([None, data.dataset(recipe.model).inputs.shape[1]]))]
    model = to_onnx(estimator, initial_types=inputs, options=options, target_opset=OPSETS, name=recipe.name)
    domains = {opset.domain: opset for opset in model.opset_import}  # the converter may write a domain twice
    del model.opset_import[:]
    model.opset_import.extend(domains[domain] for domain in sorted(domains))
    return bytes(model.SerializeToString())


def _metadata(recipe: Recipe, models: Path) -> dict[str, Any]:
    path = directory(models, recipe) / "model.onnx"
    known = data.dataset(recipe.model)
    inputs, labels = data.held_out(recipe.model)
    answers = predict(path, inputs)
    metadata: dict[str, Any] = {
        "created": CREATED,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "training_data": {
            "name": known.title,
            "source": known.source,
            "licence": known.licence,
            "digest": f"sha256:{known.digest()}",
            "rows": len(known.labels) - len(labels),
        },
        "parameters": dict(recipe.parameters),
        "metrics": {"accuracy": round(float((answers[0] == labels).mean()), 6)},
        "held_out": {
            "rows": len(labels),
            "test_size": data.TEST_SIZE,
            "seed": data.SEED,
            "rebuild": f"tools.training.data.held_out({recipe.model!r})",
        },
        "parents": [recipe.parent.name] if recipe.parent else [],
        "classes": {str(label): meaning for label, meaning in known.classes.items()},
        "converter": f"skl2onnx {importlib.metadata.version('skl2onnx')}, opset {OPSETS['']} at most",
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "source": "tools/train_models.py",
        "notes": recipe.notes,
    }
    if recipe.parent:
        parent = predict(directory(models, recipe.parent) / "model.onnx", inputs)
        metadata["parity"] = {"with": recipe.parent.name, "rows": len(labels), **agreement(answers, parent)}
    return metadata
