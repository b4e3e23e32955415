"""`gateway models evaluate` at the prompt: tables, gates, files, and how it ends for what cannot be evaluated."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.cli.main import main
from gateway.core.reference import PREDICTION
from gateway.models.evaluations import has_passed, read_evaluation
from gateway.models.references import reference_in
from tests.engine.graphs import FLOAT, INT64, graph, identity, node, value, weights

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("pandas", reason="tables are read with the `convert` extra")
datasets = pytest.importorskip("sklearn.datasets", reason="the rows are scikit-learn's")

SHIPPED = Path(__file__).parents[2] / "models"

pytestmark = pytest.mark.timeout(300)  # each version is asked in a process of its own


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a repository and rows: the current one."""
    shutil.copytree(SHIPPED / "breast-cancer", tmp_path / "models" / "breast-cancer")
    datasets.load_breast_cancer(as_frame=True).frame[:120].to_csv(tmp_path / "rows.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def evaluate(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str, versions: tuple[str, ...] = ("1", "2"), data: str = "rows.csv") -> tuple[int, str, str]:
        code = main(["models", "evaluate", "breast-cancer", "--versions", *versions, "--data", data, *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_versions_are_compared_recorded_and_drawn(evaluate: Callable[..., tuple[int, str, str]], here: Path) -> None:
    (here / "gates.yaml").write_text("gates: [accuracy >= 90 %, accuracy drop <= 1 %]", encoding="utf-8")

    code, out, err = evaluate("--gates", "gates.yaml", "--html", "report.html", "--plot", "report.svg")

    assert (code, "McNemar" in err) == (0, True)
    assert re.search(r"^accuracy +0\.\d+ +[01]\S* +\S+ \[", out, re.MULTILINE)
    assert out.count("passed") == 2
    kept = read_evaluation(here / "models" / "breast-cancer" / "2")
    assert kept is not None
    assert (kept.passed, kept.baseline, kept.data["rows"]) == (True, 1, 120)
    digest = re.search(r"sha256: (\w+)", (here / "models" / "breast-cancer" / "2" / "metadata.yaml").read_text())
    assert digest is not None
    assert has_passed(here / "models" / "breast-cancer" / "2", digest[1]) == (True, "")
    reference = reference_in(here / "models" / "breast-cancer" / "2", digest[1])
    assert reference is not None
    assert (reference.source, reference.rows, reference.digest) == ("rows.csv", 120, kept.data["digest"])
    assert [column.name for column in reference.columns] == [*(f"input[{n}]" for n in range(30)), PREDICTION]
    assert {column.rows for column in reference.columns} == {120}
    assert not has_passed(here / "models" / "breast-cancer" / "1", digest[1])[0]
    page, picture = (here / "report.html").read_text(), (here / "report.svg").read_text()
    assert picture in page
    assert not re.search(r"<(script|link|img|iframe)|https?://(?!www\.w3\.org/2000/svg)|url\(", page)


def test_a_gate_that_fails_is_exit_code_1_and_is_kept(
    evaluate: Callable[..., tuple[int, str, str]], here: Path
) -> None:
    (here / "gates.yaml").write_text("gates: [accuracy >= 1, latency_p99_ms <= 9000]", encoding="utf-8")

    code, out, _ = evaluate("--gates", "gates.yaml", "--json", versions=("1",))

    found = json.loads(out)
    assert (code, found["passed"], found["baseline"]) == (1, False, None)
    assert [each["passed"] for each in found["versions"][0]["gates"]] == [False, True]
    kept = read_evaluation(here / "models" / "breast-cancer" / "1")
    assert kept is not None
    assert kept.passed is False


def test_rows_of_one_class_say_what_is_not_known_and_fail_a_gate_on_it(
    evaluate: Callable[..., tuple[int, str, str]], here: Path
) -> None:
    frame = datasets.load_breast_cancer(as_frame=True).frame
    frame[frame["target"] == 1][:30].to_csv(here / "ones.csv", index=False)
    (here / "gates.yaml").write_text("gates: [roc_auc >= 0.5]", encoding="utf-8")

    plain = evaluate("--no-record", data="ones.csv", versions=("1",))
    gated = evaluate("--no-record", "--gates", "gates.yaml", data="ones.csv", versions=("1",))

    assert (plain[0], "no row is of class '0', so roc_auc is not known" in plain[2]) == (0, True)
    assert (gated[0], "failed: roc_auc is not known" in gated[1]) == (1, True)
    assert read_evaluation(here / "models" / "breast-cancer" / "1") is None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--target", "diagnosis"], 1, "no column 'diagnosis'"),
        (["--data", "nowhere.csv"], 1, "nowhere.csv cannot be read"),
        (["--data", "empty.csv"], 1, "has no rows"),
        (["--data", "gaps.csv"], 1, "have no label"),
        (["--data", "narrow.csv"], 1, "does not fit the input input FP32"),
        (["--data", "mixed.csv"], 1, "name its columns so"),
        (["--data", "strange.csv"], 1, "does not know: 'maybe'"),
        (["--gates", "nowhere.yaml"], 1, "nowhere.yaml cannot be read"),
        (["--gates", "wrong.yaml"], 1, "wrong.yaml: gates[0]: there is no score 'speed'"),
        (["--gates", "third.yaml"], 1, "name version 3, which is not evaluated"),
        (["--gates", "drop.yaml", "--versions", "1"], 1, "compare with a baseline"),
        (["--versions", "9"], 2, "no version 9 of breast-cancer in models"),
        (["--versions", "1", "1"], 2, "twice"),
        (["--versions", "0"], 2, "--versions"),
        (["--models", "elsewhere"], 2, "elsewhere"),
        (["--timeout", "0"], 2, "--timeout"),
        (["--seed", "-1"], 2, "--seed"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence_and_an_exit_code(
    words: list[str], code: int, said: str, evaluate: Callable[..., tuple[int, str, str]], here: Path
) -> None:
    header, *rows = (here / "rows.csv").read_text().splitlines()
    (here / "empty.csv").write_text(header)
    (here / "gaps.csv").write_text("\n".join([header, rows[0], rows[1].rpartition(",")[0] + ","]))
    (here / "narrow.csv").write_text("a,target\n1,0\n2,1\n")
    (here / "mixed.csv").write_text("\n".join([header, rows[0], "x" + rows[1]]))
    (here / "strange.csv").write_text("\n".join([header, rows[0], rows[1].rpartition(",")[0] + ",maybe"]))
    (here / "wrong.yaml").write_text("gates: [speed >= 1]")
    (here / "third.yaml").write_text('versions: {"3": [f1 >= 1]}')
    (here / "drop.yaml").write_text("gates: [f1 drop <= 1]")

    found = evaluate(*words)

    assert (found[0], said in found[2], found[2].count("\n")) == (code, True, 1), found[2]
    assert read_evaluation(here / "models" / "breast-cancer" / "1") is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--html", "/dev/full"], "/dev/full cannot be written: No space left on device"),
        (["--plot", "nowhere/a.svg"], "nowhere/a.svg cannot be written: No such file"),
    ],
)
def test_a_file_that_cannot_be_written_is_exit_code_1(
    words: list[str], said: str, evaluate: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = evaluate(*words, versions=("1",))

    assert (code, said in err, "accuracy" in out) == (1, True, True)


def test_a_version_s_directory_that_cannot_be_written_is_exit_code_1(
    evaluate: Callable[..., tuple[int, str, str]], here: Path
) -> None:
    (here / "models" / "breast-cancer" / ".lock").mkdir()  # what even root cannot open to write

    code, _, err = evaluate(versions=("1",))

    assert code == 1
    assert "cannot be written to models/breast-cancer/1: Is a directory" in err
    assert "--no-record" in err


def test_names_from_files_cannot_leave_their_place_in_the_page(
    evaluate: Callable[..., tuple[int, str, str]], here: Path
) -> None:
    nasty = '<script>alert(1)</script>&".csv'
    text = (here / "rows.csv").read_text().replace("target", "<b>target</b>", 1)
    (here / nasty.replace("/", "")).write_text(text)

    code, _, err = evaluate(
        "--html", "report.html", "--no-record", "--target", "<b>target</b>",
        data=nasty.replace("/", ""), versions=("1",),
    )  # fmt: skip

    page = (here / "report.html").read_text()
    assert (code, err) == (0, "")
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page


def line(repository: Path, version: str, graph: bytes) -> None:
    """Put a version of the model ``line`` into *repository*, without metadata."""
    directory = repository / "line" / version
    directory.mkdir(parents=True)
    (directory / "model.onnx").write_bytes(graph)


def test_versions_that_answer_numbers_are_scored_by_their_errors(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line(here / "models", "1", identity(shape=["n", 1]))
    line(here / "models", "2", graph(
        node("Add", ["x", "w"], ["y"]), tensors=[weights("w", [0.5], [1])],
        inputs=[value("x", shape=["n", 1])], outputs=[value("y", shape=["n", 1])],
    ))  # fmt: skip
    (here / "numbers.csv").write_text("x,target\n1,1\n2,2\n4,3\n", encoding="utf-8")
    (here / "constant.csv").write_text("x,target\n1,2\n2,2\n4,2\n", encoding="utf-8")
    words = ["models", "evaluate", "line", "--json", "--plot", "a.svg", "--versions"]

    codes = [main([*words, "1", "2", "--data", "numbers.csv"]), main([*words, "1", "--data", "constant.csv"])]

    first, second = capsys.readouterr().out.split("\n}\n{")
    scores = [each["scores"] for each in json.loads(first + "}")["versions"]]
    constant = json.loads("{" + second)["versions"][0]
    assert codes == [0, 0]
    assert (scores[0]["mae"], scores[0]["r2"], scores[1]["mae"]) == pytest.approx((1 / 3, 0.5, (0.5 + 0.5 + 1.5) / 3))
    assert (constant["scores"]["r2"], constant["notes"]) == (
        None, ["all rows have the same 'target', so r2 is not known"],
    )  # fmt: skip
    assert (here / "a.svg").read_text().count("<circle") == 3 + 1


def test_texts_are_asked_as_texts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(SHIPPED / "text-topics" / "1", here / "models" / "topics" / "1")
    (here / "texts.csv").write_text("text,label\na socket that listens,network\na path,files\n", encoding="utf-8")

    code = main(["models", "evaluate", "topics", "--versions", "1", "--data", "texts.csv", "--json"])

    (found,) = json.loads(capsys.readouterr().out)["versions"]
    assert (code, set(found["classes"]) >= {"network", "files"}) == (0, True)


def test_versions_that_answer_different_kinds_are_not_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line(here / "models", "1", identity(shape=["n", 1]))
    line(here / "models", "2", graph(
        node("Cast", ["x"], ["y"], to=INT64),
        inputs=[value("x", FLOAT, ["n", 1])], outputs=[value("y", INT64, ["n", 1])],
    ))  # fmt: skip
    (here / "numbers.csv").write_text("x,target\n1,1\n2,2\n", encoding="utf-8")

    code = main(["models", "evaluate", "line", "--versions", "1", "2", "--data", "numbers.csv"])

    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (1, 1)
    assert "cannot be compared: version 1 answers numbers, version 2 answers classes; evaluate each kind" in said


def test_a_version_is_evaluated_as_its_callers_see_it(
    evaluate: Callable[..., tuple[int, str, str]], here: Path
) -> None:
    metadata = here / "models" / "breast-cancer" / "2" / "metadata.yaml"
    turned = "adapter: {requests: {rename: {old: input}}, responses: {reorder: {probabilities: [1, 0]}}}\n"
    code, plain, _ = evaluate("--json", versions=("2",))
    metadata.write_text(metadata.read_text() + turned)

    adapted_code, adapted, _ = evaluate("--json", versions=("2",))

    before, after = (json.loads(each)["versions"][0]["scores"] for each in (plain, adapted))
    assert (code, adapted_code) == (0, 0)
    assert {name: after[name] for name in ("accuracy", "log_loss")} == {
        name: before[name] for name in ("accuracy", "log_loss")
    }
