"""What the demo of learning makes of its data and of what it saw; real processes: tests/flows/test_loop_closes.py."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from gateway.cli import demo_learning
from gateway.cli.demo_acts import Act
from gateway.cli.demo_drawing import draw
from gateway.cli.demo_labelled import Answered
from gateway.cli.demo_learning import Table, ending, row
from gateway.cli.demo_stage import LEARNER, Look, Moment
from gateway.cli.demo_world import World, digits_world, write_table
from gateway.cli.main import main
from gateway.learning.document import read_file

if TYPE_CHECKING:
    from pathlib import Path

PICTURE = np.arange(64, dtype=np.float64).reshape(1, 64)


def world(**changed: Any) -> World:
    return World(PICTURE, np.array([9]), PICTURE, np.array([9]), random.Random(0), **changed)


def look(**changed: Any) -> Look:
    known: dict[str, Any] = {
        "at": 3.0, "answers": 200, "accuracy": 0.98, "split": {"1": 80, "2": 20}, "baseline": "1", "phase": "step",
        "candidate": "2", "reason": "ready", "drift": (), "learner": "version 2 is in its rollout",
    }  # fmt: skip
    return Look(**(known | changed))


def test_the_digits_are_those_that_no_shipped_version_was_trained_on() -> None:
    data = pytest.importorskip("tools.training.data")

    found = digits_world()

    rows = np.concatenate([found.rows, found.unseen])
    digits = np.concatenate([found.digits, found.unseen_digits])
    inputs, labels = data.held_out("digits")
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, inputs.tolist()))
    assert sorted(digits.tolist()) == sorted(labels.tolist())
    assert len(found.unseen) == 140


def test_a_scanner_on_its_side_turns_each_picture_by_a_quarter_and_changes_no_label() -> None:
    upright, turned = world(), world(is_on_its_side=True)

    pixels, digit = turned.picture()

    assert np.array_equal(np.array(pixels).reshape(8, 8), np.rot90(PICTURE.reshape(8, 8)))
    assert (digit, turned.said(digit)) == (9, 9)
    assert upright.picture() == (PICTURE[0].tolist(), 9)


def test_wrong_labels_say_the_next_digit_and_after_nine_comes_nought() -> None:
    wrong = world(has_wrong_labels=True)

    assert [wrong.said(digit) for digit in (0, 8, 9)] == [1, 9, 0]


def test_the_table_that_is_evaluated_has_a_column_for_each_pixel_and_the_digit(tmp_path: Path) -> None:
    write_table(world(), tmp_path / "rows.csv")

    head, line = (tmp_path / "rows.csv").read_text().splitlines()
    assert head.split(",")[0::64] == ["pixel0", "target"]
    assert [float(each) for each in line.split(",")] == [*PICTURE[0].tolist(), 9.0]


def test_its_learner_is_one_that_needs_labels_of_the_canary(tmp_path: Path) -> None:
    (tmp_path / "learner.yaml").write_text(LEARNER.format(model="digits", classes="0, 1", seconds=3))

    document = read_file(tmp_path / "learner.yaml")

    assert document.rollout["guards"]["labels"]["least"] >= 1
    assert [step["for"] for step in document.rollout["steps"]] == ["3s", "3s"]


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ("not published: the learner's mean gain differs; but on 80 held-out rows the learner gains 9", True),
        ("not published: 13 rows were compared, and 100 are needed", False),
        ("version 2 was promoted", False),
    ],
)
def test_the_gate_holds_where_the_learner_was_better_on_what_it_learned_only(said: str, *, holds: bool) -> None:
    assert look(learner=said).gate_holds is holds


def test_a_row_of_the_table_says_shares_rollout_drift_and_what_the_learner_decided() -> None:
    assert row(look(drift=("a", "b"))).split() == [
        "3.0", "200", "98%", "1=80", "2=20", "2", "step", "2", "version", "2", "is", "in", "its", "rollout",
    ]  # fmt: skip
    assert row(look(accuracy=None, phase="")).split()[2:6] == ["-", "1=80", "2=20", "-"]
    assert row(look(learner="x" * 200)).endswith("x …")


def test_the_table_grows_every_two_seconds_and_tells_each_moment_at_once() -> None:
    lines: list[str] = []
    table = Table(lines.append)

    for seen in (Moment(0.0, "act", "change"), look(at=1.0), look(at=2.0), Moment(2.5, "drift", "x"), look(at=3.0)):
        table(seen)

    assert [line.split()[0] for line in lines] == ["change", "1.0", "2.5", "3.0"]


def test_the_picture_shows_both_curves_the_shares_and_every_moment() -> None:
    answered = [Answered(n / 100, "1", right=True, confirmed=n > 150) for n in range(300)]
    looks = [look(at=0.5, split={"1": 100}), look(at=1.0), look(at=3.0)]
    moments = [Moment(0.0, "act", "change"), Moment(1.5, "world", "<turned> " + "x" * 300)]

    root = ET.fromstring(draw(answered, looks, moments))

    kinds = [each.tag.rpartition("}")[2] for each in root.iter()]
    text = " ".join(each.text or "" for each in root.iter())
    assert kinds.count("polyline") == 2
    assert "1  1.5 s  world: <turned>" in text
    assert "version 2" in text
    assert "change" not in text


def test_a_picture_of_nothing_is_one_too() -> None:
    assert ET.fromstring(draw([], [], [])).tag.endswith("svg")


def test_the_ending_names_what_did_not_come_out() -> None:
    act = Act("poison", {"before": 0.9}, why_not="not so: the same version serves")
    told = {
        "came_out": False, "seconds": 3.0, "answers": 10, "failures": 0, "acts": [act.as_dict()], "picture": "a.svg",
        "lineage": [{"child": "digits/2", "parent": "digits/1", "relation": "trained-from"}],
        "history": [{"revision": 1, "after": {"split": {"1": 100}}, "reason": "first seen"}],
    }  # fmt: skip

    text = ending(told)

    assert "poison: before 90%; not so: the same version serves" in text
    assert "digits/2 trained-from digits/1" in text
    assert text.endswith("It did NOT come out as promised.")


def test_without_the_shipped_models_it_says_where_to_find_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "learning", "--models", "tests"]) == 2

    assert "name the shipped models with --models" in capsys.readouterr().err


def test_without_what_learning_needs_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_learning, "find_spec", lambda name: None if name == "skops" else object())

    assert main(["demo", "learning"]) == 1

    assert "needs skops; install them with `pip install 'canary-gateway[convert]'`" in capsys.readouterr().err
