"""`gateway models optimize` at the prompt: children, what is not published and why, and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.cli.main import main
from gateway.models.metadata import read_metadata
from tests.engine.killers import endless

if TYPE_CHECKING:
    from collections.abc import Callable

    Optimize = Callable[..., tuple[int, str, str]]

pytest.importorskip("pandas", reason="tables are read with the `convert` extra")
datasets = pytest.importorskip("sklearn.datasets", reason="the rows are scikit-learn's")

SHIPPED = Path(__file__).parents[2] / "models"

pytestmark = pytest.mark.timeout(300)  # each step runs in a process of its own


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a repository and rows of each model: the current one."""
    for name in ("digits/2", "breast-cancer/2", "text-topics/1"):
        shutil.copytree(SHIPPED / name, tmp_path / "models" / name)
    for name, load in (("digits", datasets.load_digits), ("breast-cancer", datasets.load_breast_cancer)):
        load(as_frame=True).frame[:300].to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "text-topics.csv").write_text("text\nan email message\na path of a file\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def optimize(here: Path, capsys: pytest.CaptureFixture[str]) -> Optimize:
    def run(version: str, *words: str) -> tuple[int, str, str]:
        name, _, number = version.partition("/")
        code = main(["models", "optimize", name, number, "--data", f"{name}.csv", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_network_becomes_smaller_children_that_say_where_they_come_from(optimize: Optimize, here: Path) -> None:
    code, out, err = optimize("digits/2", "--target", "target", "--dynamic-int8", "--static-int8", "--fp16", "--json")

    found = json.loads(out)
    assert (code, err) == (0, "")
    assert [(each["rewriting"], each["version"]) for each in found["children"]] == [
        ("dynamic-int8", "3"), ("static-int8", "4"), ("fp16", "5")
    ]  # fmt: skip
    assert all(each["size_bytes"] < 0.8 * found["parent"]["size_bytes"] for each in found["children"])
    assert all(each["rows_beyond"] <= 3 and each["rows"] == 300 for each in found["children"])
    metadata = read_metadata(here / "models" / "digits" / "3" / "metadata.yaml")
    assert metadata.parents == ("digits/2:quantised-from",)
    assert metadata.classes == tuple(map(str, range(10)))
    assert main(["models", "check", "digits/2", "digits/3"]) == 0


def test_trees_cannot_be_rounded_and_can_be_removed(optimize: Optimize, here: Path) -> None:
    words = ("--target", "target", "--dynamic-int8", "--prune-trees", "60", "--tolerance", "0.3")

    code, out, err = optimize("breast-cancer/2", *words)

    assert (code, "prune-trees 60" in out) == (1, True)
    assert "dynamic-int8 is not published: only MatMul, Gemm, Conv with constant weights can be rounded" in err
    assert "a tree ensemble compares values with thresholds" in err
    assert "40 trees removed" in err
    metadata = read_metadata(here / "models" / "breast-cancer" / "3" / "metadata.yaml")
    assert metadata.parents == ("breast-cancer/2:pruned-from",)


def test_a_child_that_answers_otherwise_is_not_published(optimize: Optimize, here: Path) -> None:
    code, out, err = optimize("breast-cancer/2", "--target", "target", "--prune-trees", "1")

    assert (code, "1 of 100" in out) == (1, False)
    assert "prune-trees 1 is not published: the child does not answer as the parent does (label:" in err
    assert not (here / "models" / "breast-cancer" / "3").exists()


def test_a_child_that_is_neither_smaller_nor_faster_is_not_published(
    optimize: Optimize, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.optimization.optimizing.FASTER", 0.0)  # chance must not decide
    monkeypatch.setattr("gateway.optimization.optimizing.LOADS_FASTER", 0.0)

    code, _, err = optimize("text-topics/1", "--graph-level", "basic", "--fp16")

    assert code == 1
    assert "graph-level basic is not published: it does not help" in err
    assert "fp16" in err
    assert [path.name for path in (here / "models" / "text-topics").iterdir() if path.name != ".lock"] == ["1"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["digits/2"], 2, "nothing is to be done"),
        (["digits/9", "--fp16"], 2, "no version 9 of digits in models"),
        (["digits/2", "--fp16", "--models", "elsewhere"], 2, "in elsewhere"),
        (["digits/2", "--prune-trees", "0"], 2, "--prune-trees"),
        (["digits/2", "--prune-weights", "2"], 2, "--prune-weights"),
        (["digits/2", "--graph-level", "most"], 2, "--graph-level"),
        (["digits/2", "--fp16", "--target", "label"], 1, "no column 'label' that could be left out"),
        (["digits/2", "--fp16", "--data", "nowhere.csv"], 1, "nowhere.csv cannot be read"),
        (["digits/2", "--fp16"], 1, "does not fit the input input FP32"),
        (["digits/3", "--fp16"], 1, "was published as failed, and so would be its child: it differs"),
        (["digits/4", "--fp16"], 1, "metadata.yaml: must be a mapping"),
        (["digits/5", "--fp16", "--timeout", "4"], 1, "digits/5 took longer than 4 s"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(
    words: list[str], code: int, said: str, optimize: Optimize, here: Path
) -> None:
    for number, metadata in (("3", "failed: it differs"), ("4", "[]"), ("5", "")):
        shutil.copytree(here / "models" / "digits" / "2", here / "models" / "digits" / number)
        (here / "models" / "digits" / number / "metadata.yaml").write_text(metadata, encoding="utf-8")
    if words[0] == "digits/5":
        (here / "models" / "digits" / "5" / "model.onnx").write_bytes(endless())
        (here / "digits.csv").write_text("x\n1e12\n", encoding="utf-8")

    found = optimize(*words)

    assert (found[0], said in found[2], found[2].count("\n")) == (code, True, 1), found[2]


def test_a_repository_that_cannot_be_written_is_exit_code_1(
    optimize: Optimize, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.models.working_copy.publish", full)
    code, _, err = optimize("digits/2", "--target", "target", "--dynamic-int8")

    assert (code, "cannot be written below models: No space left on device" in err) == (1, True)


def test_a_version_with_an_adapter_is_not_optimised(optimize: Optimize, here: Path) -> None:
    metadata = here / "models" / "breast-cancer" / "2" / "metadata.yaml"
    metadata.write_text(metadata.read_text() + "adapter: {requests: {rename: {old: input}}}\n")

    code, _, err = optimize("breast-cancer/2", "--fp16", "--target", "target")

    assert code == 1
    assert "optimise the version it was adapted from" in err
