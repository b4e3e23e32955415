"""What the shipped models state about themselves holds for the files beside the statement."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gateway.models.metadata import read_metadata
from tools.training import corpus, data, export
from tools.training.recipes import RECIPES, Recipe, fit, rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("sklearn", reason="the held-out rows come with the `convert` extra")

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"

INPUTS = {"breast-cancer": ("input", "tensor(float)", 30), "digits": ("input", "tensor(float)", 64),
          "text-topics": ("text", "tensor(string)", 1)}  # fmt: skip

every_version = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)


def model_file(recipe: Recipe) -> Path:
    return export.directory(MODELS, recipe) / "model.onnx"


def metadata(recipe: Recipe) -> dict[str, Any]:
    loaded = yaml.safe_load((export.directory(MODELS, recipe) / "metadata.yaml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def recipe_of(name: str) -> Recipe:
    return next(recipe for recipe in RECIPES if recipe.name == name)


def test_every_shipped_version_has_a_recipe_and_every_recipe_is_shipped() -> None:
    shipped = {"/".join(path.parts[-3:-1]) for path in MODELS.glob("*/*/model.onnx")}

    assert shipped == {recipe.name for recipe in RECIPES}


@every_version
def test_a_file_is_the_one_that_its_metadata_names(recipe: Recipe) -> None:
    assert hashlib.sha256(model_file(recipe).read_bytes()).hexdigest() == metadata(recipe)["sha256"]


@every_version
def test_the_gateway_reads_the_metadata_as_it_is_meant(recipe: Recipe) -> None:
    read = read_metadata(export.directory(MODELS, recipe) / "metadata.yaml")

    assert read.sha256 == metadata(recipe)["sha256"]
    assert read.parents == tuple(metadata(recipe)["parents"])
    assert read.libraries.keys() == {"scikit-learn", "onnx", "numpy"}
    assert set(read.extra) <= {"held_out", "classes", "source", "parity"}


@every_version
def test_no_file_is_larger_than_200_kilobytes(recipe: Recipe) -> None:
    assert model_file(recipe).stat().st_size <= 200_000


@every_version
def test_a_version_takes_one_input_and_gives_a_label_and_probabilities(recipe: Recipe) -> None:
    name, kind, width = INPUTS[recipe.model]
    classes = metadata(recipe)["classes"]

    session = ort.InferenceSession(model_file(recipe), providers=["CPUExecutionProvider"])

    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape[1:]) == (name, kind, [width])
    assert not isinstance(taken.shape[0], int)
    label, probabilities = session.get_outputs()
    assert (label.name, label.type) == ("label", f"tensor({'string' if recipe.model == 'text-topics' else 'int64'})")
    assert (probabilities.name, probabilities.type) == ("probabilities", "tensor(float)")
    assert probabilities.shape[1] == len(classes)


@every_version
def test_the_stated_accuracy_is_what_the_file_reaches_on_rows_it_has_not_seen(recipe: Recipe) -> None:
    def answer(inputs: NDArray[Any]) -> NDArray[Any]:
        return export.predict(model_file(recipe), inputs)[0]

    assert data.accuracy(recipe.model, answer) == pytest.approx(metadata(recipe)["metrics"]["accuracy"], abs=1e-6)


@every_version
def test_the_stated_training_data_is_the_data_that_training_reads(recipe: Recipe) -> None:
    stated = metadata(recipe)["training_data"]

    parts = data.split(recipe.model)

    assert stated["digest"] == f"sha256:{data.dataset(recipe.model).digest()}"
    assert stated["rows"] == len(parts.train_labels)


@pytest.mark.parametrize("name", data.NAMES)
def test_no_row_is_both_trained_on_and_held_out(name: str) -> None:
    parts = data.split(name)

    trained = {row.tobytes() if row.dtype != object else row[0] for row in parts.train_inputs}
    held_out = {row.tobytes() if row.dtype != object else row[0] for row in parts.held_out_inputs}

    assert not trained & held_out


@every_version
def test_conversion_changes_no_answer(recipe: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx", reason="converting needs the `convert` extra")
    inputs, _ = data.held_out(recipe.model)
    pipeline = fit(recipe)
    file = tmp_path / "model.onnx"
    file.write_bytes(export.onnx_bytes(recipe, pipeline))

    labels, probabilities = export.predict(file, inputs)

    assert (labels == pipeline.predict(rows(inputs))).all()
    assert abs(probabilities - pipeline.predict_proba(rows(inputs))).max() <= 1e-4


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_shipped_breast_cancer_models_answer_as_retrained_pipelines(version: int) -> None:
    recipe = recipe_of(f"breast-cancer/{version}")
    inputs, _ = data.held_out(recipe.model)
    pipeline = fit(recipe)

    labels, probabilities = export.predict(model_file(recipe), inputs)

    assert (labels == pipeline.predict(rows(inputs))).all()
    assert abs(probabilities - pipeline.predict_proba(rows(inputs))).max() <= 1e-4


def test_the_pruned_version_is_smaller_than_its_parent_and_keeps_the_parity_it_states() -> None:
    parent, child = recipe_of("breast-cancer/2"), recipe_of("breast-cancer/3")
    stated = metadata(child)
    inputs, _ = data.held_out("breast-cancer")

    found = export.agreement(*(export.predict(model_file(version), inputs) for version in (parent, child)))

    assert stated["parents"] == [stated["parity"]["with"]] == ["breast-cancer/2"]
    assert model_file(child).stat().st_size < model_file(parent).stat().st_size
    assert found["labels_equal"] >= stated["parity"]["labels_equal"] >= 0.98
    assert found["largest_probability_difference"] <= stated["parity"]["largest_probability_difference"] + 1e-5


@pytest.mark.parametrize("model", ["digits", "text-topics"])
def test_version_2_is_better_than_version_1(model: str) -> None:
    first, second = (metadata(recipe_of(f"{model}/{version}"))["metrics"]["accuracy"] for version in (1, 2))

    assert second > first


@pytest.mark.parametrize("version", [1, 2])
def test_the_text_model_loads_where_only_the_c_locale_is_installed(version: int, tmp_path: Path) -> None:
    program = (
        "import sys, numpy, onnxruntime as ort; session = ort.InferenceSession(sys.argv[1]);"
        "print(session.run(['label'], {'text': numpy.array([[sys.argv[2]]], object)})[0][0])"
    )
    text = "Connect to the HTTP server at this host and port."
    file = str(model_file(recipe_of(f"text-topics/{version}")))
    # No locale can be found below an empty LOCPATH, whatever the machine has installed.
    environment = {"LC_ALL": "C", "LOCPATH": str(tmp_path), "ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"}

    run = subprocess.run(
        [sys.executable, "-c", program, file, text],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.stdout == "network\n", run.stderr


def test_the_corpus_names_its_licence_and_is_balanced_and_small() -> None:
    _, topics = corpus.read()

    assert "PSF-2.0" in corpus.CORPUS.read_text(encoding="ascii").splitlines()[2]
    assert {topics.count(topic) for topic in corpus.TOPICS} == {corpus.SAMPLES_PER_TOPIC}
    assert corpus.CORPUS.stat().st_size < 300_000


def test_accuracy_counts_the_labels_that_are_right() -> None:
    _, labels = data.held_out("breast-cancer")

    assert data.accuracy("breast-cancer", lambda _: labels) == 1.0
    assert data.accuracy("breast-cancer", lambda _: 1 - labels) == 0.0


def test_accuracy_refuses_answers_that_do_not_match_the_rows() -> None:
    with pytest.raises(ValueError, match="1 labels came back for 171 rows"):
        data.accuracy("breast-cancer", lambda _: [0])
