"""`gateway versions tag`, and finding versions by their tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.models.publishing import publish

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Result, Terminal
    from tests.control.fakes import House


@pytest.fixture
def models(tmp_path: Path) -> Path:
    publish(tmp_path, "fraud", {"model.onnx": b"graph"})
    return tmp_path


def tag(terminal: Terminal, models: Path, *words: str) -> Result:
    return terminal.run("versions", "tag", "fraud", *words, "--models", str(models))


def test_tags_are_set_removed_and_shown(terminal: Terminal, models: Path) -> None:
    assert tag(terminal, models, "1", "stage=production", "owner=risk").out == "owner=risk stage=production\n"
    assert tag(terminal, models, "1", "--remove", "owner").out == "stage=production\n"
    assert json.loads(tag(terminal, models, "1", "--json").out)["tags"] == {"stage": "production"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["1", "stage"], "KEY=VALUE"),
        (["x", "a=b"], "no version"),
        (["2", "a=b"], "no version 2"),
        (["1", "--remove", "a"], "no tag 'a'"),
    ],
)
def test_wrong_usage_is_exit_code_2(terminal: Terminal, models: Path, words: list[str], said: str) -> None:
    result = tag(terminal, models, *words)

    assert (result.code, said in result.err) == (2, True)


def test_a_repository_that_cannot_be_written_is_told(terminal: Terminal, models: Path) -> None:
    (models / "fraud" / ".lock").unlink()
    (models / "fraud" / ".lock").mkdir()  # what even root cannot open to write

    result = tag(terminal, models, "1", "a=b")

    assert (result.code, "may this user write there?" in result.err) == (1, True)


def test_versions_are_listed_with_their_tags_and_found_by_them(terminal: Terminal, house: House) -> None:
    house.tagged = {1: {"stage": "archived"}, 2: {"stage": "production", "owner": "risk"}}

    everything = terminal.run("versions", "list", "fraud").out
    words = ["--tag", "stage=production", "--tag", "owner", "--json"]
    found = json.loads(terminal.run("versions", "list", "fraud", *words).out)
    shown = terminal.run("versions", "show", "fraud", "1").out

    assert "stage=production owner=risk" in everything
    assert [each["version"] for each in found["versions"]] == ["2"]
    assert "stage=archived" in shown
