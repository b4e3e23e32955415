"""Plans tried out on paper: often, and under traffic that was recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.cli.rollout_statistics import summary
from gateway.cli.rollout_traffic import COLUMNS, Constant, Load, read_recording
from gateway.core.plan import read_plan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal

PLAN = read_plan({"policy": {"name": "canary", "size": 10, "wait": "1m", "bake": "1m"}})
POLICY = ("--policy", "canary", "--wait", "1m", "--bake", "1m")
HEADER = ",".join(COLUMNS)


def recording(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "recorded.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def test_many_runs_tell_how_often_a_plan_is_wrong_and_how_soon_it_is_right(terminal: Terminal) -> None:
    result = terminal.run("rollouts", "simulate", *POLICY, "--canary-errors", "20%", "--runs", "30", "--rate", "200")

    rows = {line.split("  ")[0]: line.split() for line in result.out.splitlines()}
    assert result.code == 0
    assert rows["as given"][2:6] == ["30", "0", "30", "0"]
    assert rows["healthy"][1:5] == ["30", "30", "0", "0"]
    assert result.out.splitlines()[-1] == "false rollbacks: 0 of 30 healthy canaries, 0.0%"


def test_a_canary_that_fails_more_is_found_sooner() -> None:
    bad, worse = (summary(PLAN, Constant(Load(200, 0.001, (errors,))), seed=1, runs=20) for errors in (0.05, 0.5))

    assert bad.requests is not None
    assert worse.requests is not None
    assert (bad.rolled_back, worse.rolled_back) == (20, 20)
    assert worse.requests[0] < bad.requests[0] <= bad.requests[1]


def test_a_crash_at_a_tenth_of_the_traffic_takes_three_failures() -> None:
    crash = summary(PLAN, Constant(Load(20, 0.0, (1.0,))), seed=1, runs=10)

    assert crash.requests is not None
    assert 3 <= crash.requests[0] <= 6  # it is looked at once a second


def test_many_runs_in_json_are_for_scripts(terminal: Terminal) -> None:
    words = ("rollouts", "simulate", *POLICY, "--runs", "3", "--rate", "200", "--canary-errors", "50%", "--json")

    first, again = (terminal.run(*words).out for _ in range(2))

    data = json.loads(first)
    assert first == again
    assert (data["given"]["rolled_back"], data["healthy"]["succeeded"], data["false_rollback_ratio"]) == (3, 3, 0.0)
    assert data["healthy"]["seconds"] is None


def test_recorded_traffic_is_replayed_with_its_own_rates(terminal: Terminal, tmp_path: Path) -> None:
    good_then_bad = recording(tmp_path, "30,3000,3,300,0", "3600,360000,360,36000,18000")

    result = terminal.run("rollouts", "simulate", *POLICY, "--counters", str(good_then_bad), "--json")

    story = json.loads(result.out)["story"]
    assert (result.code, story[-1]["phase"]) == (1, "rolled_back")
    assert 30 <= story[-1]["seconds"] <= 40


def test_a_recording_is_replayed_from_its_start_when_it_is_over(tmp_path: Path) -> None:
    recorded = read_recording(str(recording(tmp_path, "10,100,1,0,0", "5,50,0,50,5")))

    assert [recorded.at(second) for second in (0, 9, 10, 14, 15)] == [
        *[Load(10, 0.01, (0.0,))] * 2, *[Load(20, 0.0, (0.1,))] * 2, Load(10, 0.01, (0.0,)),
    ]  # fmt: skip
    assert recorded.healthy().at(12) == Load(20, 0.0, (0.0,))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the first line must be"),
        ("seconds,requests\n1,2\n", "the first line must be"),
        (f"{HEADER}\n", "0 intervals"),
        (f"{HEADER}\n1,2,x,0,0\n", "recorded.csv:2: write 5 whole numbers"),
        (f"{HEADER}\n1,2,0,0,0\n1,2,0,0\n", "recorded.csv:3: write 5 whole numbers"),
        (f"{HEADER}\n0,2,0,0,0\n", "recorded.csv:2: an interval"),
        (f"{HEADER}\n1,2,3,0,0\n", "no more can fail than came"),
        (f"{HEADER}\n1,2,0,0,-1\n", "no more can fail than came"),
        (f"{HEADER}\n1,20000,0,0,0\n", "20000 requests a second"),
    ],
)
def test_a_recording_that_is_none_is_refused_with_its_line(
    terminal: Terminal, tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "recorded.csv"
    path.write_text(content, encoding="utf-8")

    result = terminal.run("rollouts", "simulate", *POLICY, "--counters", str(path))

    assert (result.code, said in result.err) == (1, True)


def test_a_recording_that_is_no_text_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "recorded.csv"
    path.write_bytes(b"\xff\xfe\x00")

    assert "is no text" in terminal.run("rollouts", "simulate", *POLICY, "--counters", str(path)).err


@pytest.mark.parametrize("words", [["--runs", "0"], ["--runs", "10001"], ["--counters", "/nowhere/recorded"]])
def test_a_simulation_that_cannot_be_meant_is_exit_code_2(terminal: Terminal, words: list[str]) -> None:
    assert terminal.run("rollouts", "simulate", *POLICY, *words).code == 2


def test_many_runs_of_several_canaries_count_each_that_is_taken_back(terminal: Terminal) -> None:
    words = ("--runs", "5", "--rate", "300", "--canary-errors", "0.1%", "--canary-errors", "50%")

    told = terminal.run("rollouts", "simulate", *POLICY, *words)
    data = json.loads(terminal.run("rollouts", "simulate", *POLICY, *words, "--json").out)

    assert told.out.splitlines()[-1] == "false rollbacks: 0 of 5 rollouts of 2 healthy canaries, 0.0%"
    assert (data["given"]["took_back"], data["given"]["rolled_back"], data["given"]["succeeded"]) == (5, 0, 5)
