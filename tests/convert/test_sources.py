"""What MLflow and TensorFlow saved is found and described; nothing of it runs, and nothing leaves its folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("onnx", reason="conversions need the `convert` extra")

from gateway.convert.conversion import Wish, convert
from gateway.convert.errors import CannotConvert, NotTrusted
from gateway.convert.sources import of_path, opened
from gateway.models.metadata import read_metadata
from tests.convert.mlflow_fakes import description, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.convert.mlflow_fakes import Registry

GRAPH = Path(__file__).parents[2] / "models" / "breast-cancer" / "1" / "model.onnx"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of the flavour onnx, with a folder inside."""
    folder = tmp_path / "saved"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "train.py").write_text("raise SystemExit", encoding="utf-8")
    shutil.copy(GRAPH, folder / "model.onnx")
    (folder / "MLmodel").write_text(description("onnx", data="model.onnx", onnx_version="1.23.2"), encoding="utf-8")
    return folder


@pytest.fixture
def registry(folder: Path) -> Iterator[Registry]:
    with serving(folder) as registry:
        yield registry


def refusal(named: object, server: str = "") -> str:
    with pytest.raises(CannotConvert) as caught, opened(str(named), server):
        pass
    return str(caught.value)


def test_a_folder_is_its_model_s_file_and_what_it_says_of_it(folder: Path) -> None:
    source = of_path(folder)

    assert source.file == folder / "model.onnx"
    assert source.known["imported"] == {
        "format": "mlflow", "flavour": "onnx", "model_uuid": "7c94", "mlflow_version": "3.17.2",
        "created": "2026-11-21 16:36:27.900416",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flavour", "member", "name"),
    [("sklearn", "pickled_model", "model.skops"), ("xgboost", "data", "model.ubj"), ("lightgbm", "data", "model.pkl")],
)
def test_each_flavour_names_its_file_in_its_own_member(folder: Path, flavour: str, member: str, name: str) -> None:
    (folder / name).touch()
    (folder / "MLmodel").write_text(description(flavour, **{member: name}), encoding="utf-8")

    assert of_path(folder).file == folder / name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (description("pytorch", model_data="data"), "python_function, pytorch, and read are onnx, sklearn"),
        (description("onnx", data="../secret"), "outside the folder"),
        (description("onnx", data="/etc/passwd"), "outside the folder"),
        (description("onnx", data="link"), "outside the folder"),
        (description("onnx", data="gone.onnx"), "copy the whole folder"),
        (description("onnx", data=7), "names no file"),
        (description("lightgbm", data="model.lgb"), "LGBMClassifier"),
        ("flavors: [onnx]", "no flavors"),
        ("- x", "no description of a model"),
        ("a: 1\na: 2", "cannot be read"),
        ("x: " + "y" * (1 << 20), "more than"),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused(folder: Path, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "secret").touch()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "model.lgb").touch()
    (folder / "MLmodel").write_text(content, encoding="utf-8")

    assert said in refusal(folder)


def test_a_pickle_in_a_folder_is_not_read_without_trust(folder: Path, tmp_path: Path) -> None:
    (folder / "model.pkl").write_bytes(b"\x80")
    (folder / "MLmodel").write_text(description("sklearn", pickled_model="model.pkl"), encoding="utf-8")
    (tmp_path / "rows.csv").write_text("a\n1\n", encoding="utf-8")

    with pytest.raises(NotTrusted):
        convert(Wish(of_path(folder).file, "iris", tmp_path / "models", sample=tmp_path / "rows.csv"))


def test_any_other_folder_is_refused(tmp_path: Path) -> None:
    assert "saved_model.pb" in refusal(tmp_path)


def test_another_scheme_is_refused() -> None:
    assert "mlflow://NAME/VERSION" in refusal("s3://models/iris.onnx")


@pytest.mark.parametrize("named", ["mlflow://iris/1", "mlflow://iris@champion"])
def test_a_registered_model_brings_what_its_run_measured(registry: Registry, tmp_path: Path, named: str) -> None:
    with opened(named, registry.url) as source:
        done = convert(Wish(source.file, "iris", tmp_path / "models", known=source.known))

    written = read_metadata(done.path / "metadata.yaml")
    assert (written.metrics, written.parameters) == ({"accuracy": 0.9733}, {"max_iter": "500"})
    assert (written.source_revision, written.notes) == ("a" * 40, "the first")
    assert written.extra["imported"]["registered"] == "iris/1"
    assert written.extra["imported"]["flavour"] == "onnx"
    assert (done.path / "model.onnx").read_bytes() == GRAPH.read_bytes()
    assert not source.file.exists()


def test_notes_that_are_given_count_more_than_the_registry_s(registry: Registry, tmp_path: Path) -> None:
    with opened("mlflow://iris/1", registry.url) as source:
        done = convert(Wish(source.file, "iris", tmp_path / "models", notes="ours", known=source.known))

    assert read_metadata(done.path / "metadata.yaml").notes == "ours"


def test_a_password_is_sent_and_never_shown(registry: Registry) -> None:
    said = refusal("mlflow://iris/7", registry.url.replace("//", "//root:hush@"))

    assert registry.asked == ["Basic cm9vdDpodXNo"]
    assert "404: Model Version (name=iris, version=7) not found" in said
    assert "hush" not in said


@pytest.mark.parametrize("name", ["..", "", "a/.."])
def test_a_file_that_would_leave_its_folder_is_refused(registry: Registry, name: str) -> None:
    registry.listed = [{"path": name, "is_dir": False}]

    assert "no name" in refusal("mlflow://iris/1", registry.url)


def test_folders_without_an_end_are_refused(registry: Registry) -> None:
    registry.listed = [{"path": "code", "is_dir": True}]

    assert "deeply" in refusal("mlflow://iris/1", registry.url)


def test_files_that_the_server_does_not_pass_on_are_named(registry: Registry) -> None:
    registry.uri = "s3://bucket/0/models/m-88d2"

    assert "mlflow artifacts download" in refusal("mlflow://iris/1", registry.url)


def test_files_that_lie_here_are_read_here(registry: Registry, folder: Path) -> None:
    registry.uri = f"file://{folder}"

    with opened("mlflow://iris/1", registry.url) as source:
        assert source.file.read_bytes() == GRAPH.read_bytes()


@pytest.mark.parametrize(
    ("named", "server", "said"),
    [
        ("mlflow://iris/1", "", "--mlflow http://HOST:PORT"),
        ("mlflow://iris/1", "http://127.0.0.1:1", "cannot be asked"),
        ("mlflow://iris", "http://127.0.0.1:1", "mlflow://NAME/VERSION"),
        ("mlflow://iris/latest", "http://127.0.0.1:1", "mlflow://NAME/VERSION"),
    ],
)
def test_a_registry_that_cannot_be_asked_is_told(named: str, server: str, said: str) -> None:
    assert said in refusal(named, server)


def test_what_xgboost_saved_itself_is_read_without_trust_and_a_booster_is_refused(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost", reason="needs the `boosting` extra")
    rows, labels = [[0.0, 1.0], [1.0, 0.0], [0.5, 2.0], [2.0, 0.5]] * 5, [0, 1, 0, 1] * 5
    (tmp_path / "rows.csv").write_text("a,b\n" + "\n".join(f"{a},{b}" for a, b in rows), encoding="utf-8")
    model = xgboost.XGBClassifier(n_estimators=2).fit(rows, labels)
    model.save_model(tmp_path / "model.ubj")
    model.get_booster().save_model(tmp_path / "booster.json")

    def wish(name: str) -> Wish:
        return Wish(tmp_path / name, "iris", tmp_path / "models", sample=tmp_path / "rows.csv")

    done = convert(wish("model.ubj"))

    assert done.parity is not None
    assert done.parity.holds
    with pytest.raises(CannotConvert, match="XGBClassifier or XGBRegressor"):
        convert(wish("booster.json"))


# TensorFlow

TF2ONNX = """
import shutil, sys
def main():
    words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    if open(words["--saved-model"] + "/saved_model.pb").read() != "good":
        raise ValueError("no such op: Frobnicate")
    shutil.copy({graph!r}, words["--output"])
"""


@pytest.fixture
def savedmodel(tmp_path: Path) -> Path:
    folder = tmp_path / "tf"
    folder.mkdir()
    (folder / "saved_model.pb").write_text("good", encoding="utf-8")
    return folder


@pytest.fixture
def tf2onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for the library, which is not installed here, where the confined process looks for it."""
    package = tmp_path / "site" / "tf2onnx"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "convert.py").write_text(TF2ONNX.format(graph=str(GRAPH)), encoding="utf-8")
    (tmp_path / "site" / "tensorflow.py").write_bytes(Path(__file__).with_name("tensorflow_stand_in.py").read_bytes())
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


def imported(savedmodel: Path, *, trusted: bool = True, sample: Path | None = None, golden: int = 0) -> Wish:
    file = of_path(savedmodel).file
    return Wish(file, "iris", savedmodel.parent / "models", sample=sample, trusted=trusted, golden=golden)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", np.random.default_rng(3).uniform(1, 9, (20, 30)))
    return tmp_path / "rows.npy"


@pytest.mark.usefixtures("tf2onnx")
def test_a_savedmodel_is_asked_the_sample_itself_and_compared(savedmodel: Path, rows: Path) -> None:
    shutil.copy(GRAPH, savedmodel / "graph.onnx")

    done = convert(imported(savedmodel, sample=rows, golden=2))

    assert done.parity is not None
    assert (done.parity.holds, done.parity.rows, done.failed) == (True, 20, "")
    assert {each.output for each in done.parity.outputs} == {"label", "probabilities"}
    assert read_metadata(done.path / "metadata.yaml").extra["parity"]["holds"] is True
    assert (done.path / "golden.jsonl").read_bytes().count(b"\n") == 2


@pytest.mark.usefixtures("tf2onnx")
def test_a_graph_that_does_not_answer_as_its_savedmodel_is_published_as_failed(savedmodel: Path, rows: Path) -> None:
    shutil.copy(GRAPH, savedmodel / "graph.onnx")
    (savedmodel / "off").write_text("0.25", encoding="utf-8")

    done = convert(imported(savedmodel, sample=rows, golden=2))

    assert "probabilities: 20 of 20 rows differ, first row 0" in done.failed
    assert read_metadata(done.path / "metadata.yaml").failed == done.failed
    assert not (done.path / "golden.jsonl").exists()


@pytest.mark.usefixtures("tf2onnx")
def test_a_savedmodel_that_cannot_answer_the_sample_is_refused(savedmodel: Path, rows: Path) -> None:
    with pytest.raises(CannotConvert, match=r"by the signature serving_default, so nothing could be compared"):
        convert(imported(savedmodel, sample=rows))


@pytest.mark.usefixtures("tf2onnx")
def test_a_sample_that_does_not_fit_the_signature_is_refused_with_what_does(savedmodel: Path, tmp_path: Path) -> None:
    shutil.copy(GRAPH, savedmodel / "graph.onnx")
    np.save(tmp_path / "narrow.npy", np.ones((5, 3)))

    with pytest.raises(CannotConvert, match=r"does not fit the input input FP32 \[-1, 30\]"):
        convert(imported(savedmodel, sample=tmp_path / "narrow.npy"))


@pytest.mark.usefixtures("tf2onnx")
def test_a_savedmodel_becomes_the_graph_that_tf2onnx_makes(savedmodel: Path) -> None:
    done = convert(imported(savedmodel))

    assert (done.path / "model.onnx").read_bytes() == GRAPH.read_bytes()
    assert read_metadata(done.path / "metadata.yaml").converter == "tf2onnx"
    assert "limits" in done.held


@pytest.mark.usefixtures("tf2onnx")
def test_what_tf2onnx_cannot_convert_is_told_in_its_words(savedmodel: Path) -> None:
    (savedmodel / "saved_model.pb").write_text("bad", encoding="utf-8")

    with pytest.raises(CannotConvert, match="ValueError: no such op: Frobnicate"):
        convert(imported(savedmodel))


def test_a_savedmodel_is_a_program_and_needs_trust(savedmodel: Path) -> None:
    with pytest.raises(NotTrusted, match="--trust"):
        convert(imported(savedmodel, trusted=False))


def test_without_tf2onnx_a_savedmodel_is_refused_with_what_to_install(savedmodel: Path) -> None:
    with pytest.raises(CannotConvert, match="pip install tf2onnx tensorflow-cpu"):
        convert(imported(savedmodel))
