"""The script that makes the models says so when a shipped model is not what its recipe gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tools import train_models

pytest.importorskip("skl2onnx", reason="making a model needs the `convert` extra")

SHIPPED = Path(__file__).resolve().parents[2] / "models"


def test_check_passes_for_the_shipped_models(capsys: pytest.CaptureFixture[str]) -> None:
    status = train_models.main(["--check", "--only", "breast-cancer"])

    assert status == 0, capsys.readouterr().err


def test_check_names_the_version_whose_model_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SHIPPED / "digits", tmp_path / "digits")
    shutil.copy(tmp_path / "digits/1/model.onnx", tmp_path / "digits/2/model.onnx")
    monkeypatch.setattr(train_models, "MODELS", tmp_path)

    status = train_models.main(["--check", "--only", "digits"])

    assert status == 1
    assert "DIFFERS: digits/2: only" in capsys.readouterr().err


def test_check_names_a_metric_that_is_not_what_the_recipe_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SHIPPED / "digits", tmp_path / "digits")
    file = tmp_path / "digits/1/metadata.yaml"
    boast = yaml.safe_load(file.read_text()) | {"metrics": {"accuracy": 0.999}}
    file.write_text(yaml.safe_dump(boast))
    monkeypatch.setattr(train_models, "MODELS", tmp_path)

    status = train_models.main(["--check", "--only", "digits"])

    assert status == 1
    assert "DIFFERS: digits/1: states an accuracy of 0.999" in capsys.readouterr().err


def test_making_a_model_twice_gives_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for attempt in ("first", "second"):
        monkeypatch.setattr(train_models, "MODELS", tmp_path / attempt)
        train_models.main(["--only", "text-topics"])
        found = sorted(path for path in (tmp_path / attempt).rglob("*") if path.is_file())
        files.append([(path.relative_to(tmp_path / attempt), path.read_bytes()) for path in found])

    assert len(files[0]) == 4
    assert files[0] == files[1]
