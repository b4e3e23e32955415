"""`gateway history` at the prompt: what was written is found whole, and what was rewritten is found out."""

from __future__ import annotations

import dataclasses
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal
    from tests.control.fakes import House


@pytest.fixture
def changed(routed: Terminal) -> Terminal:
    """The route of ``fraud`` is at revision 2."""
    assert routed.run("weights", "set", "fraud", "1=50", "2=50").code == 0
    return routed


@pytest.fixture
def export(changed: Terminal, tmp_path: Path) -> Path:
    path = tmp_path / "history.jsonl"
    assert changed.run("history", "export", "--out", str(path)).code == 0
    return path


def head(terminal: Terminal, *words: str) -> str:
    found: list[dict[str, Any]] = json.loads(terminal.run("history", "verify", "fraud", "--json", *words).out)
    return str(found[0]["head"])


def test_a_history_that_nobody_touched_is_whole(changed: Terminal) -> None:
    result = changed.run("history", "verify")

    assert result.code == 0
    assert result.out.split("\n")[1].split()[:4] == ["fraud", "2", "2", "yes"]


def test_a_rewritten_entry_is_named_and_fails(changed: Terminal, house: House) -> None:
    entries = house.store._entries["fraud"]
    entries[-1] = dataclasses.replace(entries[-1], reason="\x1b[31m")

    result = changed.run("history", "verify", "fraud")

    assert result.code == 1
    assert "the history of fraud is broken at revision 2" in result.err


def test_an_entry_of_a_release_without_the_chain_is_told_and_fails_only_after_a_noted_head(
    changed: Terminal, house: House, tmp_path: Path
) -> None:
    noted = head(changed)
    changed.run("weights", "set", "fraud", "1=1")
    entries = house.store._entries["fraud"]
    entries[0] = dataclasses.replace(entries[0], previous="", address="")
    file = str(tmp_path / "gap.jsonl")
    changed.run("history", "export", "--out", file)

    results = [changed.run("history", "verify", "fraud", *more) for more in ([], ["--file", file])]

    assert [each.code for each in results] == [0, 0]
    assert all("the history of fraud has a gap at revision 3" in each.err for each in results)
    assert changed.run("history", "verify", "fraud", "--noted", noted).code == 1


def test_a_head_that_was_noted_must_still_be_there(changed: Terminal) -> None:
    noted = head(changed)
    changed.run("weights", "set", "fraud", "1=1")

    assert changed.run("history", "verify", "fraud", "--noted", noted).code == 0
    assert changed.run("history", "verify", "fraud", "--noted", "ab" * 32).code == 1
    assert changed.run("history", "verify", "--noted", noted).code == 2


def test_an_export_is_verified_without_a_gateway(changed: Terminal, export: Path) -> None:
    assert changed.run("history", "verify", "--file", str(export), "--url", "http://127.0.0.1:1").code == 0
    assert head(changed, "--file", str(export)) == head(changed)
    assert stat.S_IMODE(export.stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [0, 1])
def test_a_line_that_was_changed_after_its_export_is_found(changed: Terminal, export: Path, number: int) -> None:
    lines = [json.loads(line) for line in export.read_text(encoding="utf-8").splitlines()]
    lines[number]["who"] = "eve"
    export.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    result = changed.run("history", "verify", "--file", str(export))

    assert result.code == 1
    assert f"at revision {2 - number}" in result.err


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": "fraud"}', "null", '{"model": []}', "\udcff"])
def test_a_file_that_is_no_export_is_refused(changed: Terminal, tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content, encoding="utf-8", errors="surrogateescape")

    assert changed.run("history", "verify", "--file", str(tmp_path / "x")).code == 1


def test_a_model_that_the_file_does_not_hold_is_refused(changed: Terminal, export: Path) -> None:
    assert changed.run("history", "verify", "churn", "--file", str(export)).code == 1


def test_without_a_file_the_export_goes_to_stdout(changed: Terminal) -> None:
    lines = changed.run("history", "export", "fraud").out.splitlines()

    assert [json.loads(line)["revision"] for line in lines] == [2, 1]
