"""`gateway versions lineage` and `diff`, and `gateway models prune`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.core.lineage import Lineage, Parent, VersionName
from gateway.models.publishing import publish
from tests.control.fakes import FIVE_FLOATS, READY, UNAVAILABLE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal
    from tests.control.fakes import House

FRAUD = [VersionName("fraud", number) for number in (1, 2, 3)]
SMALL = VersionName("small", 1)


@pytest.fixture
def related(terminal: Terminal, house: House) -> Terminal:
    """fraud/0 (deleted) → 1 → 2 → small/1, and 3 from nowhere."""
    house.lineage = Lineage(
        {
            FRAUD[0]: (Parent(VersionName("fraud", 9)),),
            FRAUD[1]: (Parent(FRAUD[0], "fine-tuned-from"),),
            FRAUD[2]: (),
            SMALL: (Parent(FRAUD[1], "quantised-from"), Parent(FRAUD[0])),
        },
        {FRAUD[2]: ('run "7"',)},
    )
    return terminal


def test_a_tree_goes_from_parents_to_children_across_models(related: Terminal) -> None:
    assert related.run("versions", "lineage", "fraud").out.splitlines() == [
        "fraud/3 (also from: run '7')",
        "fraud/9 (not in the repository)",
        "└─ fraud/1",
        "   ├─ fraud/2 fine-tuned-from",
        "   │  └─ small/1 quantised-from",
        "   └─ small/1",
    ]


def test_the_lineage_of_one_version_leaves_out_what_is_not_related(related: Terminal) -> None:
    answer = json.loads(related.run("versions", "lineage", "fraud/2", "--json").out)

    assert [each["name"] for each in answer["versions"]] == ["fraud/1", "fraud/2", "fraud/9", "small/1"]
    assert {"child": "fraud/2", "parent": "fraud/1", "relation": "fine-tuned-from"} in answer["parents"]
    assert related.run("versions", "lineage", "fraud/2", "--format", "json").out == json.dumps(answer, indent=2) + "\n"


def test_a_ring_is_drawn_once(terminal: Terminal, house: House) -> None:
    house.lineage = Lineage({FRAUD[0]: (Parent(FRAUD[1]),), FRAUD[1]: (Parent(FRAUD[0]),), FRAUD[2]: ()})

    assert terminal.run("versions", "lineage", "fraud").out.splitlines() == [
        "fraud/3", "fraud/1", "└─ fraud/2", "   └─ fraud/1 (see above)"
    ]  # fmt: skip


def test_mermaid_and_graphviz_get_the_same_edges(related: Terminal) -> None:
    mermaid = related.run("versions", "lineage", "fraud", "--format", "mermaid").out
    dot = related.run("versions", "lineage", "fraud", "--format", "dot").out

    assert mermaid.startswith('flowchart TD\n    v0["fraud/1"]\n')
    assert "    v0 -->|fine-tuned-from| v1\n" in mermaid
    assert '    "fraud/1" -> "fraud/2" [label="fine-tuned-from"];\n' in dot
    assert mermaid.count("-->") == dot.count("->") == 4


@pytest.mark.parametrize("name", ["ghost", "fraud/7", "fraud/x"])
def test_the_lineage_of_what_is_not_there_is_refused(related: Terminal, name: str) -> None:
    assert related.run("versions", "lineage", name).code == 1


@pytest.fixture
def described(terminal: Terminal, house: House) -> Terminal:
    house.described["fraud", 1] = {"metrics": {"auc": 0.9, "f1": 0.5}, "parameters": {"depth": 3}, "notes": "old"}
    house.described["fraud", 2] = {
        "metrics": {"auc": 0.925, "f1": 0.5},
        "parameters": {"depth": 3},
        "parents": ["fraud/1"],
    }
    return terminal


def test_a_diff_shows_what_differs_and_how_far_numbers_moved(described: Terminal) -> None:
    result = described.run("versions", "diff", "fraud/1", "fraud/2")

    lines = [line.split() for line in result.out.splitlines()]
    assert result.code == 0
    assert lines[0] == ["WHAT", "NAME", "fraud/1", "fraud/2", "CHANGE"]
    assert ["metrics", "auc", "0.9", "0.925", "+0.025"] in lines
    assert "f1" not in result.out
    assert "depth" not in result.out
    assert result.out.endswith("to callers: compatible\n")


def test_a_diff_says_what_callers_meet(described: Terminal, house: House) -> None:
    house.workers.say("fraud", 3, READY, signature=FIVE_FLOATS)
    house.on_disk["fraud"].add(4)
    house.workers.say("fraud", 4, UNAVAILABLE)

    answer = json.loads(described.run("versions", "diff", "fraud/1", "fraud/3", "--json").out)
    unknown = described.run("versions", "diff", "fraud/1", "fraud/4")

    assert answer["verdict"] == "breaking"
    assert {"input shape", "output shape"} == {each["rule"] for each in answer["findings"]}
    assert {"kind": "metadata", "name": "notes", "old": "old", "new": None} in answer["differences"]
    assert "never READY here" in unknown.out


def test_a_diff_of_what_is_no_version_is_wrong_usage(described: Terminal) -> None:
    assert described.run("versions", "diff", "fraud", "fraud/2").code == 2
    assert described.run("versions", "diff", "fraud/1", "fraud/8").code == 1


@pytest.fixture
def repository(tmp_path: Path, house: House) -> Path:
    """Versions 1 to 6 of ``fraud``; 6 comes from 4."""
    for number in range(1, 7):
        metadata = b"parents: ['fraud/4:fine-tuned-from']" if number == 6 else b"notes: one"
        publish(tmp_path / "models", "fraud", {"model.onnx": b"graph", "metadata.yaml": metadata})
    house.on_disk["fraud"] = set(range(1, 7))
    return tmp_path / "models"


def left(repository: Path) -> list[str]:
    return sorted(each.name for each in (repository / "fraud").iterdir() if each.name != ".lock")


def prune(terminal: Terminal, repository: Path, *more: str) -> tuple[int, str, str]:
    result = terminal.run("models", "prune", "fraud", "--models", str(repository), *more)
    return result.code, result.out, result.err


def test_pruning_keeps_the_newest_the_routed_and_their_ancestors(routed: Terminal, repository: Path) -> None:
    code, out, _ = prune(routed, repository, "--keep", "1")

    assert code == 0
    assert left(repository) == ["1", "2", "4", "6"]
    assert "an ancestor of fraud/6" in out


def test_a_dry_run_of_pruning_removes_nothing(routed: Terminal, repository: Path) -> None:
    _, out, _ = prune(routed, repository, "--keep", "1", "--dry-run", "--json")

    assert json.loads(out)["removed"] == ["3", "5"]
    assert left(repository) == list("123456")


def test_pruning_is_refused_where_nobody_says_what_is_in_use(
    routed: Terminal, house: House, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.store.stop()
    away = prune(routed, repository, "--keep", "1")
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:1")
    nobody = prune(routed, repository, "--keep", "1")

    assert (away[0], nobody[0]) == (1, 1)
    assert "nobody knows what is in use" in away[2]
    assert "nothing answers" in nobody[2]
    assert left(repository) == list("123456")


def test_pruning_another_repository_than_the_gateway_s_is_refused(
    routed: Terminal, house: House, tmp_path: Path
) -> None:
    publish(tmp_path / "models", "other", {"model.onnx": b"graph"})

    result = routed.run("models", "prune", "other", "--keep", "1", "--models", str(tmp_path / "models"))

    assert (result.code, "--offline" in result.err) == (1, True)


def test_offline_only_the_newest_and_their_ancestors_stay(routed: Terminal, repository: Path) -> None:
    assert prune(routed, repository, "--keep", "2", "--offline")[0] == 0
    assert left(repository) == ["4", "5", "6"]


def test_the_versions_of_a_rollout_stay(routed: Terminal, repository: Path) -> None:
    started = routed.run("rollouts", "start", "fraud", "3", "--step", "5:5m")
    assert started.code == 0, started.err

    prune(routed, repository, "--keep", "1")

    assert left(repository) == ["1", "2", "3", "4", "6"]


def test_a_version_that_comes_into_use_while_it_is_hidden_is_put_back(
    routed: Terminal, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.cli import model_prune

    answers = [{1: "the route's baseline"}, {1: "the route's baseline", 5: "in the route's split"}]
    monkeypatch.setattr(model_prune, "_used", lambda *_: answers.pop(0))

    _, _, said = prune(routed, repository, "--keep", "1")

    assert "version 5 of fraud came into use" in said
    assert left(repository) == ["1", "4", "5", "6"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fraud", "--keep", "0"], "--keep"),
        (["../x", "--keep", "1"], "no name"),
        (["ghost", "--keep", "1"], "--models"),
    ],
)
def test_pruning_what_cannot_be_is_wrong_usage(
    terminal: Terminal, repository: Path, words: list[str], said: str
) -> None:
    result = terminal.run("models", "prune", *words, "--offline", "--models", str(repository))

    assert (result.code, said in result.err) == (2, True)
