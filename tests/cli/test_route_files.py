"""Routes kept in files: whether they drifted, what applying them would do, what is wrong with them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from gateway.cli.main import main
from gateway.cli.route_words import in_words
from gateway.core.document import parse
from tests.control.fakes import FIVE_FLOATS, READY, House

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

AS_ROUTED = 'model: fraud\nsplit: {"1": 95, "2": 5}\n'


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with the route of ``fraud`` as it is."""
    directory = tmp_path / "routes"
    directory.mkdir()
    (directory / "fraud.yaml").write_text(AS_ROUTED, encoding="utf-8")
    return directory


@pytest.fixture
def strayed(routed: Terminal, house: House, tmp_path: Path) -> Terminal:
    """Beside ``fraud`` there is ``digits``, which no file routes, with a canary."""
    house.on_disk["digits"] = {1, 2}
    path = tmp_path / "digits.yaml"
    path.write_text('model: digits\nsplit: {"1": 90, "2": 10}\n', encoding="utf-8")
    assert routed.run("routes", "apply", "-f", str(path)).code == 0
    return routed


class TestDrift:
    """``routes diff``: 0 the same, 1 it differs, 3 nobody knows."""

    def test_a_store_that_says_what_the_files_say_is_0(self, routed: Terminal, files: Path) -> None:
        result = routed.run("routes", "diff", "-f", str(files))

        assert (result.code, result.out, result.err) == (0, "", "nothing differs\n")

    @pytest.mark.parametrize("more", [[], ["--exit-code"], ["--json"]])
    def test_a_store_that_was_changed_by_hand_is_1(self, routed: Terminal, files: Path, more: list[str]) -> None:
        routed.run("weights", "set", "fraud", "1=50", "2=50")

        assert routed.run("routes", "diff", "-f", str(files), *more).code == 1

    def test_drift_is_told_in_words_as_a_diff_and_with_who_it_was(self, routed: Terminal, files: Path) -> None:
        routed.run("weights", "set", "fraud", "1=50", "2=50", "--reason", "in a hurry")

        result = routed.run("routes", "diff", "-f", str(files))

        assert "+  '2': 5\n" in result.out
        assert "# fraud: version 2: 50 % -> 5 % of the traffic\n" in result.out
        assert result.err == "fraud differs; local wrote revision 2 last: in a hurry\n"

    def test_a_store_that_does_not_answer_is_3(self, routed: Terminal, files: Path, house: House) -> None:
        house.store.stop()

        result = routed.run("routes", "diff", "-f", str(files))

        assert (result.code, "nothing is compared" in result.err) == (3, True)

    def test_a_file_that_cannot_be_read_is_3(self, routed: Terminal, files: Path) -> None:
        (files / "b.yaml").write_text("model: [", encoding="utf-8")

        assert routed.run("routes", "diff", "-f", str(files)).code == 3

    def test_a_model_that_no_file_routes_is_told_and_is_no_drift_by_itself(
        self, strayed: Terminal, files: Path
    ) -> None:
        result = strayed.run("routes", "diff", "-f", str(files))

        assert (result.code, "no file routes digits" in result.err) == (0, True)

    def test_with_prune_a_model_that_no_file_routes_is_drift(self, strayed: Terminal, files: Path) -> None:
        result = strayed.run("routes", "diff", "-f", str(files), "--prune", "--json")

        (found,) = json.loads(result.out)
        assert (result.code, found["model"], found["pruned"]) == (1, "digits", True)
        assert found["words"] == ["version 1: 90 % -> 100 % of the traffic", "version 2: 10 % -> 0 % of the traffic"]

    def test_a_rollout_under_way_is_told_because_applying_stops_it(self, routed: Terminal, files: Path) -> None:
        quiet = routed.run("routes", "diff", "-f", str(files))
        routed.run("rollouts", "start", "fraud", "2", "--step", "10:1m")
        (files / "fraud.yaml").write_text('model: fraud\nsplit: {"1": 1}\n', encoding="utf-8")

        told = [routed.run("routes", verb, "-f", str(files)).err for verb in ("diff", "apply")]

        assert "rollout" not in quiet.err
        assert all("a rollout of version 2 is under way; applying the file stops it" in each for each in told)


class TestPrune:
    """``routes apply --prune``: what no file routes goes back to plain."""

    def test_without_yes_it_says_what_it_would_do_and_changes_nothing_at_all(
        self, strayed: Terminal, files: Path
    ) -> None:
        (files / "fraud.yaml").write_text('model: fraud\nsplit: {"1": 1}\n', encoding="utf-8")

        result = strayed.run("routes", "apply", "-f", str(files), "--prune")

        assert (result.code, "would reset digits; add --yes" in result.err) == (1, True)
        assert "# digits: version 2: 10 % -> 0 %" in result.out
        assert [strayed.run("routes", "show", model).out[:12] for model in ("fraud", "digits")] == ["# revision 1"] * 2

    def test_with_yes_all_traffic_goes_to_the_baseline(self, strayed: Terminal, files: Path) -> None:
        result = strayed.run("routes", "apply", "-f", str(files), "--prune", "--yes")

        shown = json.loads(strayed.run("routes", "show", "digits", "--json").out)
        assert (result.code, shown["split"], shown["baseline"]) == (0, {"1": 100}, "1")
        assert strayed.run("routes", "diff", "-f", str(files), "--prune").code == 0

    def test_a_dry_run_needs_no_yes(self, strayed: Terminal, files: Path) -> None:
        result = strayed.run("routes", "apply", "-f", str(files), "--prune", "--dry-run")

        assert (result.code, "digits" in result.out) == (0, True)
        assert strayed.run("routes", "show", "digits").out.startswith("# revision 1\n")

    def test_a_plain_route_is_let_be_whatever_its_weights_are(
        self, routed: Terminal, house: House, files: Path, tmp_path: Path
    ) -> None:
        house.on_disk["digits"] = {1, 2}
        (tmp_path / "d.yaml").write_text('model: digits\nsplit: {"1": 7, "2": 0}\n', encoding="utf-8")
        routed.run("routes", "apply", "-f", str(tmp_path / "d.yaml"))

        assert routed.run("routes", "apply", "-f", str(files), "--prune").err == "nothing differs\n"

    def test_one_file_is_no_reason_to_reset_all_other_models(self, strayed: Terminal, files: Path) -> None:
        result = strayed.run("routes", "apply", "-f", str(files / "fraud.yaml"), "--prune", "--yes")

        assert (result.code, "--prune needs a directory" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"split": {"1": 190, "2": 10}}, "weights 1=95 2=5 -> 1=190 2=10, which gives everybody the same share"),
        ({}, {"assign": {"by": "header:x"}}, "assign.by: random -> header:x, which assigns nearly everybody anew"),
        ({}, {"baseline": "2"}, "baseline: 1 -> 2"),
        ({"aliases": {"a": "1"}}, {"aliases": {"a": "2"}}, "alias a: 1 -> 2"),
        ({"shadow": {"3": 20}}, {}, "shadow 3: 20 -> none % of the requests"),
        ({}, {"rollout": {"steps": [{"weight": 1, "for": "1m"}]}}, "the plan of its rollouts comes"),
        ({}, {"rules": [{"when": {"query:a": "b"}, "split": {"2": 1}}]},
         'a rule for {"query:a": ["b"]} comes, it gives 2=1'),
    ],
)  # fmt: skip
def test_a_difference_has_a_sentence(before: dict[str, object], after: dict[str, object], said: str) -> None:
    whole = {"split": {"1": 95, "2": 5}}

    sentences = in_words(*(parse({**whole, **each}, model="fraud").as_dict() for each in (before, after)))

    assert sentences == [said]


def test_rules_that_are_asked_in_another_order_are_told() -> None:
    rules = [{"when": {"query:a": "b"}, "split": {"2": 1}}, {"when": {"query:c": "d"}, "split": {"1": 1}}]
    documents = [parse({"split": {"1": 1}, "rules": each}, model="m").as_dict() for each in (rules, rules[::-1])]

    assert in_words(*documents) == ["the rules are asked in another order"]


class TestTrials:
    """``--dry-run`` of a single write: the gateway checks, nothing changes."""

    def test_weights_are_tried(self, routed: Terminal) -> None:
        result = routed.run("weights", "set", "fraud", "1=90", "2=10", "--dry-run")

        assert "would change fraud: version 2: 5 % -> 10 % of the traffic\n" in result.out
        assert routed.run("routes", "show", "fraud").out.startswith("# revision 1\n")

    def test_weights_that_would_be_refused_are_refused(self, routed: Terminal, house: House) -> None:
        house.workers.say("fraud", 3, READY, signature=FIVE_FLOATS)

        assert routed.run("weights", "set", "fraud", "1=1", "3=1", "--dry-run").code == 1

    def test_weights_are_tried_at_a_revision(self, routed: Terminal) -> None:
        assert routed.run("weights", "set", "fraud", "1=1", "--dry-run", "--if-match", "7").code == 1

    def test_a_restore_is_tried(self, routed: Terminal) -> None:
        routed.run("weights", "set", "fraud", "2=1")

        result = routed.run("routes", "restore", "fraud", "1", "--dry-run", "--json")

        assert json.loads(result.out)["after"]["split"] == {"1": 95, "2": 5}
        assert routed.run("routes", "show", "fraud").out.startswith("# revision 2\n")

    @pytest.mark.parametrize(("revision", "code"), [([], 2), (["9"], 1)])
    def test_a_restore_of_what_is_not_known_is_not_tried(
        self, routed: Terminal, revision: list[str], code: int
    ) -> None:
        assert routed.run("routes", "restore", "fraud", *revision, "--dry-run").code == code


def lint(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, str]]]:
    code = main(["routes", "lint", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


class TestLint:
    """``routes lint`` asks no gateway."""

    def test_good_files_are_0(self, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert lint(capsys, str(files)) == (0, [])

    def test_an_error_names_file_and_member(self, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (files / "b.yaml").write_text('model: digits\nsplit: {"1": -1}\n', encoding="utf-8")

        code, (remark,) = lint(capsys, str(files))

        assert (code, remark["severity"], remark["where"]) == (1, "error", "split.1")
        assert remark["file"] == str(files / "b.yaml")

    def test_an_error_is_one_line_that_begins_with_its_file(
        self, files: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (files / "b.yaml").write_text("model: [", encoding="utf-8")

        main(["routes", "lint", str(files)])

        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith(f"{files / 'b.yaml'}: error: ")

    def test_two_files_that_route_one_model_are_an_error(self, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (files / "g.yaml").write_text(AS_ROUTED, encoding="utf-8")

        code, (remark,) = lint(capsys, str(files / "fraud.yaml"), str(files / "g.yaml"))

        assert (code, "routed by fraud.yaml already" in remark["says"]) == (1, True)

    def test_a_weight_below_one_seat_is_a_warning(self, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (files / "fraud.yaml").write_text('model: fraud\nsplit: {"1": 1000000, "2": 1}\n', encoding="utf-8")

        code, (remark,) = lint(capsys, str(files))

        assert (code, remark["severity"], remark["where"]) == (0, "warning", "split.2")
        assert lint(capsys, str(files), "--strict")[0] == 1

    def test_with_a_repository_a_version_that_is_not_in_it_is_an_error(
        self, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "models/fraud/1").mkdir(parents=True)

        code, (remark,) = lint(capsys, str(files), "--models", str(tmp_path / "models"))

        assert (code, "version 2 of 'fraud'" in remark["says"]) == (1, True)
        assert lint(capsys, str(files), "--models", str(tmp_path))[0] == 1

    @pytest.mark.parametrize("path", ["nowhere", "."])
    def test_nothing_to_check_is_wrong_usage(
        self, path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert (main(["routes", "lint", str(tmp_path / path)]), capsys.readouterr().out) == (2, "")


def test_the_commit_hook_runs_a_command_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).parents[2]
    (hook,) = yaml.safe_load((root / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    words = [*hook["entry"].split(), *hook["args"]]

    assert words[0] == "gateway"
    assert main([*words[1:-1], str(root / words[-1])]) == 0
    assert re.search(hook["files"], "routing_configs/fraud.yaml")
    assert not re.search(hook["files"], "docs/fraud.yaml")
