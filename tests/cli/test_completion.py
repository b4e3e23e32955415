"""``gateway completion``: what Tab offers, in the shells that are on this machine."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway.cli.commands import all_commands
from gateway.cli.completion_scripts import SCRIPTS
from gateway.cli.main import NOUNS, main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal

NAMES = 'gateway() { [[ "$*" == "completion models" ]] && printf "fraud\\nfrogs\\ndigits\\n"; }'

CASES = [
    ("gateway rou", ["routes"]),
    ("gateway routes h", ["history"]),
    ("gateway routes diff --pr", ["--prune"]),
    ("gateway routes show fr", ["fraud", "frogs"]),
    ("gateway routes show fraud fr", []),
    ("gateway --version=x routes show d", ["digits"]),
    ("gateway routes show --url http://x d", ["digits"]),
    ("gateway routes show --url = http://x d", ["digits"]),
    ("gateway weights set digits --reason routes fr", []),
    ("gateway versions lineage fraud --format ma", []),
    ("gateway versions lineage fraud --format mer", ["mermaid"]),
    ("gateway top fraud d", ["digits"]),
    ("gateway completion z", ["zsh"]),
    ("gateway routes lint some", ["some-routes"]),
    ("gateway routes apply -f some", ["some-routes"]),
]


def bash(directory: Path, line: str) -> list[str]:
    words = line.split(" ")
    script = f"""{NAMES}
{SCRIPTS["bash"](all_commands())}
COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}
_gateway
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], cwd=directory, capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_bash_offers_what_fits(line: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "some-routes").mkdir()

    assert bash(tmp_path, line) == offered


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_a_script_can_be_read_by_its_shell(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    (tmp_path / "script").write_text(SCRIPTS[shell](all_commands()), encoding="utf-8")

    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True, timeout=20)


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_a_script_holds_every_command_and_flag(shell: str) -> None:
    script = SCRIPTS[shell](all_commands())

    missing = [
        (command.name, name)
        for command in all_commands()
        for flag in command.flags
        for name in flag.names
        if (f"-l {name[2:]} " if shell == "fish" and name.startswith("--") else name if shell != "fish" else name[1:])
        not in script
    ]
    assert missing == []
    assert all(noun in script for noun in NOUNS)


def test_quotes_in_a_help_text_do_not_end_a_word_of_fish() -> None:
    lines = [line for line in SCRIPTS["fish"](all_commands()).splitlines() if line.startswith("complete")]

    odd = [line for line in lines if line.replace("\\\\", "").replace("\\'", "").count("'") % 2]
    assert odd == []


def test_names_of_models_come_from_the_gateway(routed: Terminal) -> None:
    assert routed.run("completion", "models").out == "fraud\n"


def test_without_a_gateway_there_are_no_names_and_no_complaint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:1")

    code = main(["completion", "models"])

    assert (code, *capsys.readouterr()) == (0, "", "")
