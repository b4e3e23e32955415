"""Ready plans, dry runs and the list of rollouts, as an operator types them."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import pytest

from gateway.core.alarms import Answer, Silence
from tests.control.alarm_house import ALARM, AlarmHouse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal


@pytest.fixture
def house() -> AlarmHouse:
    return AlarmHouse()


@pytest.fixture
def routed(terminal: Terminal, house: AlarmHouse) -> Terminal:
    asyncio.run(house.route({"1": 100}))
    return terminal


def test_a_policy_is_started_and_shown_as_its_steps(routed: Terminal) -> None:
    words = ("--policy", "linear", "--size", "40", "--wait", "2m", "--holdback", "10", "--bake", "1h")

    assert routed.run("rollouts", "start", "fraud", "2", *words).code == 0

    plan = json.loads(routed.run("rollouts", "status", "fraud", "--json").out)["plan"]
    assert plan["steps"] == [{"weight": 40, "for": "2m"}, {"weight": 80, "for": "2m"}]
    assert plan["holdback"] == {"weight": 90, "for": "1h"}


def test_a_dry_run_shows_the_plan_and_starts_nothing(routed: Terminal) -> None:
    result = routed.run("rollouts", "start", "fraud", "2", "--policy", "blue_green", "--holdback", "0", "--dry-run")

    lines = [line.split() for line in result.out.splitlines()]
    assert (result.code, "nothing was started" in result.out) == (0, True)
    assert [line[:3] for line in lines[2:]] == [["preflight", "0", "-"], ["step", "1", "100"], ["bake", "100", "30m"]]
    assert "no baseline to compare with" in result.err
    assert routed.run("rollouts", "status", "fraud").code == 1


def test_a_dry_run_shows_every_stage_that_a_plan_has(routed: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "steps: [{weight: 5, for: 1m, approve: true}]\nshadow: {for: 3m, share: 50%}\n"
        "alarms: [{name: shop, query: up == 0, then: rollback}]\n",
        encoding="utf-8",
    )

    result = routed.run("rollouts", "start", "fraud", "2", "--plan", str(path), "--dry-run")

    for part in ("copies of 50%", "waits for approval", "shop: rollback"):
        assert part in result.out


def test_a_dry_run_is_refused_as_the_start_would_be(routed: Terminal) -> None:
    routed.run("rollouts", "start", "fraud", "2", "--policy", "canary")

    again = routed.run("rollouts", "start", "fraud", "3", "--policy", "canary", "--dry-run")
    unknown = routed.run("rollouts", "start", "fraud", "9", "--policy", "canary", "--dry-run", "--supersede")

    assert (again.code, "under way" in again.err) == (1, True)
    assert (unknown.code, "'9'" in unknown.err) == (1, True)


def test_a_dry_run_in_json_is_what_the_start_answers(routed: Terminal) -> None:
    dry = json.loads(routed.run("rollouts", "start", "fraud", "2", "--policy", "canary", "--dry-run", "--json").out)
    real = json.loads(routed.run("rollouts", "start", "fraud", "2", "--policy", "canary", "--json").out)

    assert (dry["revision"], real["revision"]) == (1, 2)
    assert {k: v for k, v in dry.items() if k not in {"id", "revision"}} == {
        k: v for k, v in real.items() if k not in {"id", "revision"}
    }


def test_a_policy_takes_the_place_of_the_steps_of_a_plan_and_leaves_its_guards(
    routed: Terminal, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("policy: linear\nguards: {errors: {tolerate: 2%}}\n", encoding="utf-8")

    def plan(*words: str) -> tuple[int, list[str]]:
        said = routed.run("rollouts", "start", "fraud", "2", "--plan", str(path), *words, "--dry-run", "--json")
        data = json.loads(said.out)["plan"]
        return len(data["steps"]), list(data["guards"])

    assert plan() == (4, ["errors"])
    assert plan("--policy", "canary") == (1, ["errors"])
    assert plan("--step", "5:1m", "--step", "6:1m") == (2, ["errors"])


@pytest.mark.parametrize(
    "words",
    [
        ["--size", "5"],
        ["--step", "5:1m", "--bake", "5m"],
        ["--policy", "canary", "--step", "5:1m"],
        ["--policy", "red_green"],
    ],
)
def test_a_policy_that_cannot_be_meant_is_exit_code_2(terminal: Terminal, words: list[str]) -> None:
    for verb in (["start", "fraud", "2"], ["simulate"]):
        assert terminal.run("rollouts", *verb, *words).code == 2


def test_a_policy_that_is_told_too_much_is_refused_with_its_member(routed: Terminal) -> None:
    result = routed.run("rollouts", "start", "fraud", "2", "--policy", "blue_green", "--size", "5")

    assert (result.code, "policy.size" in result.err) == (1, True)


def test_a_policy_can_be_simulated(terminal: Terminal) -> None:
    result = terminal.run("rollouts", "simulate", "--policy", "blue_green", "--bake", "10s", "--rate", "300")

    assert (result.code, "1=5 2=95" in result.out) == (0, True)


def test_the_list_shows_the_last_rollout_of_every_model_that_had_one(routed: Terminal, house: AlarmHouse) -> None:
    empty = routed.run("rollouts", "list")
    routed.run("rollouts", "start", "fraud", "2", "--policy", "canary", "--reason", "why not")

    shown, data = routed.run("rollouts", "list"), json.loads(routed.run("rollouts", "list", "--json").out)

    assert len(empty.out.splitlines()) == 1
    assert shown.out.splitlines()[1].split() == ["fraud", "2", "1", "pending", "1=100", "why", "not"]
    assert [(each["model"], each["candidate"], each["phase"]) for each in data] == [("fraud", "2", "pending")]


def test_the_status_shows_each_alarm_with_its_last_answer_and_its_age(routed: Terminal, house: AlarmHouse) -> None:
    async def walk() -> None:
        house.monitoring.reply = Answer((0.9,))
        await house.begin(alarms=[ALARM, ALARM | {"name": "other", "fires": "> 5"}])
        for _ in range(4):
            await house.tick()
        house.monitoring.reply = Silence("it is away")

    asyncio.run(walk())

    result = routed.run("rollouts", "status", "fraud")

    lines = {line.split()[0]: line for line in result.out.splitlines() if line}
    assert lines["shop"].split()[:4] == ["shop", "firing", "hold", "0"]
    assert "alarm shop fires: 0.9 is > 0.05" in lines["shop"]
    assert lines["other"].split()[1] == "quiet"


def test_the_verbs_are_those_that_scripts_rely_on(terminal: Terminal) -> None:
    verbs = re.findall(r"^    ([a-z]+)\b", terminal.run("rollouts", "--help").out, re.MULTILINE)

    assert sorted(verbs) == sorted(
        ["start", "status", "list", "pause", "resume", "promote", "abort", "retry", "simulate"]
    )  # fmt: skip


def test_a_policys_weight_is_that_of_each_of_several_candidates(routed: Terminal) -> None:
    dry = routed.run("rollouts", "start", "fraud", "2", "3", "--policy", "canary", "--size", "20", "--dry-run")
    wide = routed.run("rollouts", "start", "fraud", "2", "3", "--policy", "blue_green", "--dry-run")

    assert (dry.code, dry.out.splitlines()[0]) == (0, "fraud version 2, 3 would go, and nothing was started:")
    assert re.search(r"^step 1 +20 +10m", dry.out, re.MULTILINE)
    assert (wide.code, "190% for 2 candidates together" in wide.err) == (1, True)


def test_a_dry_run_shows_who_has_what_of_several(routed: Terminal) -> None:
    result = routed.run("rollouts", "start", "fraud", "2", "3", "--step", "2=5,3=10:5m", "--dry-run")

    assert re.search(r"^step 1 +2=5 3=10 +5m", result.out, re.MULTILINE)


def test_the_list_names_all_candidates_of_a_rollout(routed: Terminal) -> None:
    routed.run("rollouts", "start", "fraud", "2", "3", "--step", "5:5m")

    assert re.search(r"^fraud +2, 3 +1 +pending", routed.run("rollouts", "list").out, re.MULTILINE)
