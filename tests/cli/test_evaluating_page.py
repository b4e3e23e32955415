"""The example in docs/evaluating.md does what the page says, and its tables are whole."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.evaluation.gates import SCORES, parse_gates
from gateway.models.evaluations import read_evaluation

pytest.importorskip("pandas", reason="tables are read with the `convert` extra")
pytest.importorskip("sklearn", reason="the rows are scikit-learn's")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluating.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.timeout(300)  # each version is asked in a process of its own


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_passes_its_gates_and_makes_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "models", "models")
    Path("gates.yaml").write_text(block("yaml"), encoding="utf-8")
    exec(block("python"), {})

    codes = [main(shlex.split(each)) for each in re.findall(r"^\$ gateway (.+)$", block("console"), re.MULTILINE)]

    assert codes == [0, 0], capsys.readouterr()
    kept = read_evaluation(Path("models/breast-cancer/2"))
    assert kept is not None
    assert (kept.passed, kept.baseline) == (True, 1)
    assert Path("report.html").is_file()
    assert Path("report.svg").is_file()
    assert sorted(each.name for each in Path("models/digits").glob("[0-9]")) == ["1", "2", "3", "4"]


def test_every_score_that_a_gate_may_name_is_described() -> None:
    table = PAGE.split("| score |")[1].split("\n\n")[0]
    named = [each for line in table.splitlines()[2:] for each in re.findall(r"`(\w+)`", line.split("|")[1])]

    assert sorted(named) == sorted(SCORES)


def test_the_gates_of_the_page_are_read() -> None:
    gates = parse_gates(block("yaml").encode(), "gates.yaml")

    assert (len(gates.every), list(gates.of)) == (3, [2])


def test_every_flag_of_optimize_is_described_with_its_relation() -> None:
    from gateway.optimization.rewritings import RELATIONS

    described = dict(re.findall(r"^\| `--([\w-]+)[^`]*` \| [^|]+\| `([\w-]+)` \|", PAGE, re.MULTILINE))

    assert described == RELATIONS
