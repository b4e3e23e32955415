"""What the demo says came out, for what it saw; the whole story over real processes is in tests/flows/test_demo.py."""

from __future__ import annotations

import pytest

from gateway.cli.demo import Chapter, Story, plan
from gateway.cli.demo_gateway import FAILING
from gateway.cli.demo_traffic import Traffic
from gateway.cli.main import main
from gateway.core.plan import read_plan
from tools import demo_model


def chapter(ended: str) -> Chapter:
    return Chapter("2", ended, "because", 1.0, {"1": 5}, 0)


def story(*endings: str, baseline: str = "2", failures: int = 0, bad_answers: int = 0) -> Story:
    traffic = Traffic(failures=failures, answers=9, bad_answers=bad_answers)
    return Story(traffic, [chapter(ended) for ended in endings], baseline)


def test_a_story_comes_out_when_the_good_one_is_promoted_and_the_bad_one_taken_back_unnoticed() -> None:
    assert story("succeeded", "rolled_back").result()["came_out"]


@pytest.mark.parametrize(
    "told",
    [
        story("succeeded", "succeeded"),
        story("rolled_back", "rolled_back"),
        story("succeeded", "step"),
        story("succeeded"),
        story("succeeded", "rolled_back", baseline="1"),
        story("succeeded", "rolled_back", failures=1),
        story("succeeded", "rolled_back", bad_answers=1),
    ],
)
def test_anything_else_does_not(told: Story) -> None:
    assert not told.result()["came_out"]


def test_without_the_shipped_models_it_says_where_to_find_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--models", "tests"]) == 2

    assert "name the shipped models with --models" in capsys.readouterr().err


def test_its_plan_is_one() -> None:
    told = plan("2", 3)

    read = read_plan({name: value for name, value in told.items() if name not in {"candidate", "reason"}})

    assert [step.slots for step in read.steps] == [1000, 5000]


def test_the_version_that_fails_is_what_its_recipe_gives() -> None:
    pytest.importorskip("onnx", reason="it is in the extra `convert`")

    assert FAILING.read_bytes() == demo_model.content()
