"""`gateway models adapt` at the prompt, and the version that it publishes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.cli.main import main
from gateway.engine.onnx import OnnxEngine
from gateway.models.adapting import adapted
from gateway.models.metadata import parse_metadata

pytest.importorskip("onnx", reason="ONNX files are built with the `convert` extra")

from tests.engine import graphs, interfaces

if TYPE_CHECKING:
    from pathlib import Path

PARENT = """training_data: {name: claims}
created: 2026-01-01T00:00:00Z
golden_sha256: %s
serving: {max_batch_rows: 8, warm_up: {years: {values: [30, 50]}}}
""" % ("ab" * 32)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for version, content in (("1", interfaces.old()), ("2", interfaces.new(shuffled=False))):
        place = tmp_path / "risk" / version
        place.mkdir(parents=True)
        (place / "model.onnx").write_bytes(content)
    (tmp_path / "risk" / "2" / "metadata.yaml").write_text(PARENT)
    return tmp_path


def adapt(models: Path, *words: str) -> int:
    return main(["models", "adapt", "risk", *words, "--models", str(models)])


def test_the_child_answers_callers_of_the_old_version_as_that_did(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adapt(models, "2", "--to", "1", "--write") == 0
    assert "version 3 of risk is version 2 for callers of version 1" in capsys.readouterr().out

    child = models / "risk" / "3"
    metadata = parse_metadata((child / "metadata.yaml").read_bytes())
    own = OnnxEngine().load(child / "model.onnx", model="risk", version=3, threads=1)
    session, serving = adapted(own, metadata, model="risk", version=3)
    old = OnnxEngine().load(models / "risk" / "1" / "model.onnx", model="risk", version=1, threads=1)
    feeds = {"age": np.array([[33.3]], np.float32), "x": np.array([[0.1, 0.2, 1e-3]], np.float32)}
    np.testing.assert_array_equal(session.run(feeds)[0], old.run(feeds)[0], strict=True)
    assert (child / "model.onnx").read_bytes() == (models / "risk" / "2" / "model.onnx").read_bytes()
    assert (metadata.parents, metadata.training_data.name) == (("risk/2:adapted-from",), "claims")
    assert (metadata.golden_sha256, metadata.created[:10] != "2026-01-01") == ("", True)
    assert (list(serving.warm_up), serving.max_batch_rows) == (["age"], 8)
    assert main(["models", "check", "risk/1", "risk/3", "--models", str(models)]) == 0


def test_a_proposal_is_shown_and_nothing_is_written_unless_asked_for(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adapt(models, "2", "--to", "1", "--json") == 0

    said = json.loads(capsys.readouterr().out)
    assert said["adapter"]["requests"] == {"rename": {"x": "features", "age": "years"}, "cast": {"age": "FP32"}}
    assert (said["left"], said["by_position"], said["published"]) == ([], [], None)
    assert not (models / "risk" / "3").exists()


def test_what_rules_cannot_adapt_is_named_and_not_published(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = models / "risk" / "3"
    place.mkdir()
    (place / "model.onnx").write_bytes(graphs.identity(graphs.STRING))

    assert adapt(models, "3", "--to", "1", "--write") == 1

    said = capsys.readouterr()
    assert "not adapted: the output score was FP32 [n, 3] and is not there" in said.err
    assert "docs/adapting.md" in said.err
    assert not (models / "risk" / "4").exists()


def test_a_version_that_fits_needs_no_adapter(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adapt(models, "1", "--to", "1", "--write") == 0

    assert "needs no adapter" in capsys.readouterr().out
    assert not (models / "risk" / "3").exists()


def test_an_adapted_version_is_not_adapted_again(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "risk" / "2" / "metadata.yaml").write_text("adapter: {requests: {rename: {old: years}}}\n")

    assert adapt(models, "2", "--to", "1") == 1
    assert "adapt the version that it was adapted from" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("9", "--to", "1"), ("2", "--to", "x")])
def test_a_version_that_is_not_there_is_exit_code_2(
    words: tuple[str, ...], models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adapt(models, *words) == 2
    assert "there is no version" in capsys.readouterr().err
