"""Rollouts, as an operator types them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.cli import rollout_status
from gateway.core.phases import Event
from tests.control.rollout_house import RolloutHouse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Result, Terminal

STEPS = ("--step", "5:10s", "--step", "50:10s")


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


@pytest.fixture
def routed(terminal: Terminal, house: RolloutHouse) -> Terminal:
    asyncio.run(house.route({"1": 100}))
    return terminal


def started(terminal: Terminal, *words: str) -> Result:
    return terminal.run("rollouts", "start", "fraud", "2", *STEPS, *words)


def to_step(house: RolloutHouse, *, failed: int = 0) -> None:
    async def walk() -> None:
        await house.tick()
        await house.tick()
        await house.follow()
        await house.count(50, failed=failed, baseline=950)

    asyncio.run(walk())


def test_a_rollout_is_started_and_answered_with_its_phase(routed: Terminal) -> None:
    result = started(routed, "--reason", "why not")

    assert (result.code, result.out) == (0, "fraud version 2 is pending, at revision 2\n")


def test_a_plan_that_is_probably_not_meant_is_warned_of(routed: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("steps: [{weight: 7, for: 1m}]\nconfirm: off\n", encoding="utf-8")

    result = routed.run("rollouts", "start", "fraud", "2", "--plan", str(path))

    assert (result.code, "warning: confirm: off" in result.err) == (0, True)


def test_a_plan_comes_from_a_file_or_from_a_route_file(routed: Terminal, tmp_path: Path) -> None:
    plan, route = tmp_path / "plan.yaml", tmp_path / "fraud.yaml"
    plan.write_text("steps: [{weight: 7, for: 1m}]\n", encoding="utf-8")
    route.write_text("model: fraud\nsplit: {'1': 1}\nrollout: {steps: [{weight: 7, for: 1m}]}\n", encoding="utf-8")

    for number, path in enumerate((plan, route)):
        words = ("--supersede",) if number else ()
        assert routed.run("rollouts", "start", "fraud", "2", "--plan", str(path), *words).code == 0
        shown = json.loads(routed.run("rollouts", "status", "fraud", "--json").out)
        assert shown["plan"]["steps"] == [{"weight": 7, "for": "1m"}]


@pytest.mark.parametrize("content", ["split: {'1': 1}\n", "- a\n", "steps: [\n"])
def test_a_file_without_a_plan_is_refused(terminal: Terminal, tmp_path: Path, content: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(content, encoding="utf-8")

    result = terminal.run("rollouts", "start", "fraud", "2", "--plan", str(path))

    assert (result.code, "plan.yaml" in result.err) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ["start", "fraud", "2", "--step", "5"],
        ["start", "fraud", "2", "--plan", "/nowhere/plan"],
        ["simulate"],
        ["simulate", "--step", "5:1m", "--rate", "0"],
    ],
)
def test_what_cannot_be_meant_is_exit_code_2(terminal: Terminal, words: list[str]) -> None:
    assert terminal.run("rollouts", *words).code == 2


def test_a_refusal_is_a_sentence_and_exit_code_1(routed: Terminal) -> None:
    started(routed)

    twice, resumed = started(routed), routed.run("rollouts", "resume", "fraud")

    assert (twice.code, "under way" in twice.err) == (1, True)
    assert (resumed.code, "cannot take resume" in resumed.err) == (1, True)


def test_a_rollout_is_moved_by_its_verbs(routed: Terminal, house: RolloutHouse) -> None:
    started(routed)
    to_step(house)

    said = [routed.run("rollouts", *words, "fraud").out for words in
            (["pause"], ["resume"], ["promote"], ["abort"], ["retry"])]  # fmt: skip

    assert [line.partition(" is ")[2].partition(",")[0] for line in said] == [
        "paused in step 1 of 2", "step 1 of 2", "bake", "aborted", "pending",
    ]  # fmt: skip


def test_a_full_promotion_is_the_end(routed: Terminal, house: RolloutHouse) -> None:
    started(routed)
    to_step(house)

    assert "is succeeded" in routed.run("rollouts", "promote", "fraud", "--full").out


def test_a_move_may_name_the_revision_that_it_is_for(routed: Terminal) -> None:
    started(routed)

    assert routed.run("rollouts", "abort", "fraud", "--if-match", "1").code == 1


def test_the_status_shows_phase_verdict_and_counts(routed: Terminal, house: RolloutHouse) -> None:
    started(routed)
    to_step(house, failed=1)

    result = routed.run("rollouts", "status", "fraud")

    assert result.code == 0
    for part in ("step 1 of 2", "1=95 2=5", "INCONCLUSIVE", "not yet certified", "ROLLS BACK AT", "2 of 2 follow"):
        assert part in result.out


def test_a_watch_ends_with_the_rollout_and_fails_unless_it_succeeded(
    routed: Terminal, house: RolloutHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_status, "LOOK_AGAIN_SECONDS", 0.02)
    started(routed)
    to_step(house)
    timer = threading.Timer(0.3, lambda: asyncio.run(fail(house)))
    timer.start()

    result = routed.run("rollouts", "status", "fraud", "--watch")
    timer.join()

    lines = result.out.splitlines()
    assert result.code == 1
    assert lines[0].startswith("step 1 of 2  1=95 2=5  INCONCLUSIVE  50 requests")
    assert "rolled_back" in lines[-1]
    assert "errors: " in lines[-1]


def test_a_watch_waits_for_a_store_that_is_away_and_says_so_once(
    routed: Terminal, house: RolloutHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_status, "LOOK_AGAIN_SECONDS", 0.02)
    started(routed)
    to_step(house)
    asyncio.run(house.rollouts.move("fraud", Event.ABORT, expected=None, who="ann", reason="enough"))
    house.store.stop()
    timer = threading.Timer(0.3, house.store.start)
    timer.start()

    result = routed.run("rollouts", "status", "fraud", "--watch")
    timer.join()

    assert (result.code, result.err.count("is away")) == (1, 1)
    assert "aborted" in result.out


def test_a_watch_of_nothing_is_refused(routed: Terminal) -> None:
    result = routed.run("rollouts", "status", "fraud", "--watch")

    assert (result.code, "has no rollout" in result.err) == (1, True)


async def fail(house: RolloutHouse) -> None:
    await house.count(20, failed=20)
    await house.tick()


def test_a_version_that_was_rolled_back_needs_force(routed: Terminal, house: RolloutHouse, tmp_path: Path) -> None:
    started(routed)
    to_step(house, failed=20)
    asyncio.run(house.tick())
    path = tmp_path / "fraud.yaml"
    path.write_text('model: fraud\nsplit: {"1": 95, "2": 5}\n', encoding="utf-8")

    refused = routed.run("weights", "set", "fraud", "1=99", "2=1")
    file = routed.run("routes", "apply", "-f", str(path))

    assert (refused.code, "was rolled back" in refused.err, file.code) == (1, True, 1)
    assert routed.run("routes", "apply", "-f", str(path), "--force").code == 0
    assert routed.run("weights", "set", "fraud", "1=99", "2=1", "--force").code == 0


def simulated(terminal: Terminal, *words: str) -> Result:
    return terminal.run("rollouts", "simulate", *STEPS, *words)


def test_a_simulation_of_a_good_canary_succeeds_and_of_a_bad_one_rolls_back(terminal: Terminal) -> None:
    good, bad = simulated(terminal, "--rate", "300"), simulated(terminal, "--canary-errors", "50%")

    assert (good.code, good.out.splitlines()[-1].split()[2]) == (0, "succeeded")
    assert (bad.code, "rolled_back" in bad.out, "errors: E" in bad.out) == (1, True, True)


def test_a_simulation_tells_the_same_story_for_the_same_seed(terminal: Terminal) -> None:
    first, again = (simulated(terminal, "--canary-errors", "20%", "--json").out for _ in range(2))
    other = simulated(terminal, "--canary-errors", "20%", "--json", "--seed", "2").out

    assert first == again != other
    assert json.loads(first)["phase"] == "rolled_back"


def test_a_simulation_without_traffic_says_where_it_is_stuck(terminal: Terminal) -> None:
    result = simulated(terminal, "--rate", "1", "--canary-errors", "0%")

    assert result.code in {0, 1}
    assert "hold" in result.out


def test_a_plan_that_is_wrong_is_refused_with_its_member(terminal: Terminal) -> None:
    result = terminal.run("rollouts", "simulate", "--step", "0:1m")

    assert (result.code, "steps[0].weight" in result.err) == (1, True)


def test_several_candidates_are_started_shown_and_chosen_from(routed: Terminal, house: RolloutHouse) -> None:
    result = routed.run("rollouts", "start", "fraud", "2", "3", "--step", "2=5,3=10:10s")
    to_step(house)
    shown = routed.run("rollouts", "status", "fraud").out

    async def walk() -> None:
        for version in (2, 3):
            await house.count(1_000, version=version)
        await house.tick(11)

    asyncio.run(walk())
    asked, blind = routed.run("rollouts", "status", "fraud").out, routed.run("rollouts", "promote", "fraud")
    chosen = routed.run("rollouts", "promote", "fraud", "--version", "3")
    after = routed.run("rollouts", "status", "fraud").out

    assert result.out == "fraud version 2, 3 is pending, at revision 2\n"
    assert "version 2, 3, against version 1" in shown
    assert "1=85 2=5 3=10" in shown
    assert [shown.count(f"version {version}: INCONCLUSIVE, certificate E") for version in (2, 3)] == [1, 1]
    assert "waiting for a choice: promote --version" in asked
    assert (blind.code, "version 2 or 3" in blind.err) == (1, True)
    assert chosen.out.startswith("fraud version 3 is bake")
    assert "version 2 is out, passed over: version 3 was promoted" in after


@pytest.mark.parametrize("step", ["2=5,2=6:1m", "2=5,3:1m", "2=:1m"])
def test_weights_of_several_are_written_once_each(terminal: Terminal, step: str) -> None:
    result = terminal.run("rollouts", "start", "fraud", "2", "3", "--step", step)

    assert (result.code, "each candidate once, such as 2=5,3=10" in result.err) == (2, True)


def test_a_simulation_of_several_takes_the_bad_one_out_and_promotes_another(terminal: Terminal) -> None:
    errors = [word for rate in ("0.4%", "50%", "0%") for word in ("--canary-errors", rate)]
    result = terminal.run("rollouts", "simulate", "--step", "5:10s", "--step", "20:10s", "--rate", "300", *errors)

    assert (result.code, "errors: version 3: E" in result.out) == (0, True)
    assert "version 4 failed least and is promoted" in result.out
    assert result.out.splitlines()[-1].split()[2] == "succeeded"
