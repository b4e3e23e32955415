"""`gateway models convert` and `check` at the prompt: what they refuse, and how they end."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.engine.onnx import OnnxEngine
from gateway.models.golden import golden_of
from gateway.models.replay import replay

pytest.importorskip("onnx", reason="ONNX files are built with the `convert` extra")

MODELS = Path(__file__).parents[2] / "models"


def check(old: str, new: str, *more: str) -> int:
    return main(["models", "check", old, new, "--models", str(MODELS), *more])


def test_versions_that_fit_are_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("breast-cancer/1", "breast-cancer/2") == 0
    assert "can take the place" in capsys.readouterr().out


def test_files_that_do_not_fit_are_exit_code_1_and_the_tensors_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    code = check("breast-cancer/1", str(MODELS / "text-topics" / "1" / "model.onnx"), "--json")

    said = capsys.readouterr()
    assert code == 1
    assert {"input", "text"} <= {each["tensor"] for each in json.loads(said.out)["findings"]}
    assert "breaking" in said.err
    assert "text" in said.err


def test_what_is_not_there_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("breast-cancer/1", "breast-cancer/99") == 2
    assert "breast-cancer/99" in capsys.readouterr().err


def test_an_onnx_file_is_published_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = MODELS / "breast-cancer" / "1" / "model.onnx"
    words = ["models", "convert", str(file), "--name", "copy", "--models", str(tmp_path), "--notes", "a copy"]

    assert (main(words), main(words)) == (0, 0)
    assert "version 2 of copy" in capsys.readouterr().out
    assert (tmp_path / "copy" / "2" / "model.onnx").read_bytes() == file.read_bytes()
    assert "notes: a copy" in (tmp_path / "copy" / "2" / "metadata.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere.joblib"], 1, "there is no file"),
        (["model.h5"], 1, "save it as one of them"),
        (["model.skops"], 1, "--sample"),
        (["model.pkl", "--sample", "rows.csv"], 1, "add --trust"),
        (["model.onnx"], 1, "not an ONNX model"),
        (["model.onnx", "--parent", "fraud"], 1, "write NAME/VERSION"),
        (["model.onnx", "--parent", "fraud/3"], 1, "cannot be read"),
        (["model.onnx", "--parent", "fraud/3:copied-from"], 1, "trained-from, fine-tuned-from"),
        (["model.onnx", "--tolerance", "-1"], 2, "--tolerance"),
        (["model.onnx", "--timeout", "0"], 2, "--timeout"),
        (["model.onnx", "--sample", "a", "--data", "b"], 2, "--data"),
    ],
)
def test_what_cannot_become_a_version_is_refused_before_anything_is_written(
    words: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("model.h5", "model.skops", "model.pkl", "model.onnx", "rows.csv"):
        Path(name).write_bytes(b"\x01 nothing of the kind")

    assert main(["models", "convert", *words, "--name", "fraud"]) == code
    assert said in capsys.readouterr().err
    assert not Path("models").exists()


def test_a_name_that_is_no_model_s_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(MODELS / "breast-cancer" / "1" / "model.onnx", tmp_path)
    words = ["models", "convert", str(tmp_path / "model.onnx"), "--models", str(tmp_path / "models")]

    assert main([*words, "--name", "../escaped"]) == 1
    assert "cannot name a model" in capsys.readouterr().err


def test_a_parent_must_be_there_and_may_not_come_from_its_child(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = MODELS / "breast-cancer" / "1" / "model.onnx"
    words = ["models", "convert", str(file), "--models", str(tmp_path), "--name", "copy"]
    assert main(words) == 0
    assert main([*words, "--parent", "copy/1:adapted-from"]) == 0
    (tmp_path / "copy" / "1" / "metadata.yaml").write_text("parents: [copy/3]\n", encoding="utf-8")

    unknown = main([*words, "--parent", "copy/9"]), capsys.readouterr().err
    ring = main([*words, "--parent", "copy/2"]), capsys.readouterr().err

    assert "- copy/1:adapted-from" in (tmp_path / "copy" / "2" / "metadata.yaml").read_text()
    assert (unknown[0], "copy/9 is not there" in unknown[1]) == (1, True)
    assert (ring[0], "copy/3 cannot come from copy/2" in ring[1]) == (1, True)
    assert not (tmp_path / "copy" / "3").exists()


SAMPLE_COLUMNS = ",".join(f"c{number}" for number in range(30))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (f"{SAMPLE_COLUMNS}\n{','.join(['0.5'] * 30)}\n", ""),
        ("a,b\n1,2\n", "does not fit the input input FP32"),
        ("a,b\nx,2\n", "name its columns so"),
    ],
)
def test_an_onnx_file_is_asked_the_sample_before_it_is_published(
    rows: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas", reason="CSV files are read with the `convert` extra")
    (tmp_path / "rows.csv").write_text(rows, encoding="utf-8")
    file = MODELS / "breast-cancer" / "1" / "model.onnx"
    words = ["models", "convert", str(file), "--models", str(tmp_path / "models"), "--name", "copy"]

    code = main([*words, "--sample", str(tmp_path / "rows.csv")])

    assert (code, said in capsys.readouterr().err) == (1 if said else 0, True)
    assert (tmp_path / "models").exists() is not bool(said)
    if not said:
        assert "sample:\n  name: rows.csv" in (tmp_path / "models" / "copy" / "1" / "metadata.yaml").read_text()


# Golden requests


ROW = json.dumps({"inputs": [{"name": "input", "shape": [1, 30], "datatype": "FP32", "data": [1.0] * 30}]})


def golden(root: Path, text: str, *more: str, name: str = "breast-cancer", version: str = "1") -> int:
    requests = root / "requests.jsonl"
    requests.write_text(text)
    return main(["models", "golden", name, version, "--from", str(requests), "--models", str(root / "models"), *more])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with a repository of its own."""
    shutil.copytree(MODELS / "breast-cancer", tmp_path / "models" / "breast-cancer")
    return tmp_path


def test_golden_requests_are_kept_with_their_answers_and_declared(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = root / "models" / "breast-cancer" / "1"
    before = (place / "metadata.yaml").read_text()

    codes = (golden(root, f"{ROW}\n{ROW}\n"), golden(root, ROW, "--json"))

    said, kept = capsys.readouterr().out, (place / "metadata.yaml").read_text()
    digest = hashlib.sha256((place / "golden.jsonl").read_bytes()).hexdigest()
    assert codes == (0, 0)
    assert "2 golden requests of version 1 of breast-cancer" in said
    assert kept == f"{before}golden_sha256: {digest}\n"
    assert replay(OnnxEngine().load(place / "model.onnx", model="m", version=1, threads=1), golden_of(place)) == ""


def test_golden_requests_of_an_adapted_version_are_of_its_callers_interface(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = root / "models" / "breast-cancer" / "1" / "metadata.yaml"
    metadata.write_text(metadata.read_text() + "adapter: {requests: {rename: {old: input}}}\n")

    own, callers = golden(root, ROW), golden(root, ROW.replace('input"', 'old"'))

    assert (own, callers) == (1, 0)
    assert "input 'old'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({"text": "{"}, 1, "line 1 is no JSON"),
        ({"text": ROW.replace("input\"", "other\"")}, 1, "golden request 1 cannot be asked"),
        ({"text": ROW, "version": "99"}, 2, "there is no version 99"),
        ({"text": ROW, "version": "latest"}, 2, "is no model and version"),
        ({"text": ROW, "name": "../x"}, 2, "is no model and version"),
    ],
)  # fmt: skip
def test_what_cannot_be_recorded_is_refused_and_nothing_is_written(
    root: Path, capsys: pytest.CaptureFixture[str], given: dict[str, str], code: int, said: str
) -> None:
    assert golden(root, **given) == code
    assert said in capsys.readouterr().err
    assert not list(root.rglob("golden.jsonl"))


def test_metadata_that_takes_no_further_line_is_left_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "models" / "breast-cancer" / "1" / "metadata.yaml"
    path.write_text("{notes: all in one line}\n")

    assert golden(root, ROW) == 1
    assert "one member per line" in capsys.readouterr().err
    assert path.read_text() == "{notes: all in one line}\n"


def test_a_conversion_keeps_rows_of_its_sample_only_where_it_is_told_to(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join([",".join(f"c{n}" for n in range(30)), *[",".join(["1.5"] * 30)] * 3]))
    file = MODELS / "breast-cancer" / "1" / "model.onnx"
    words = ["models", "convert", str(file), "--name", "copy", "--models", str(tmp_path / "models"),
             "--sample", str(rows)]  # fmt: skip

    assert (main(words), main([*words, "--golden", "2"])) == (0, 0)

    places = [tmp_path / "models" / "copy" / version for version in "12"]
    assert [len(golden_of(place)) for place in places] == [0, 2]
    assert "golden_sha256" in (places[1] / "metadata.yaml").read_text()


def test_golden_rows_need_a_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = MODELS / "breast-cancer" / "1" / "model.onnx"

    assert main(["models", "convert", str(file), "--name", "copy", "--models", str(tmp_path), "--golden", "2"]) == 1
    assert "give some with --sample" in capsys.readouterr().err
