"""What holds for every command, read from the parser: a verb that is added later is held to it too."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from gateway.cli.commands import all_commands
from gateway.cli.main import main, parser_for
from tools import cli_reference

if TYPE_CHECKING:
    from gateway.cli.commands import Command

COMMANDS: Final = {command.name: command for command in all_commands()}

WITHOUT_JSON: Final = {
    "serve": "it runs until it is stopped; its logs are JSON with --log-format json",
    "completion": "its answer is a script, or a name per line",
}
"""Command → why it has no --json."""

READS: Final = {
    "completion", "context list", "doctor", "experiments report", "history verify", "models check",
    "models drift", "models list", "models quality", "models replay", "notifications list", "recordings list",
    "rollouts list", "rollouts simulate",
    "rollouts status", "routes diff", "routes explain", "routes history", "routes lint", "routes list", "routes show",
    "serve", "top", "versions diff", "versions lineage", "versions list", "versions show",
}  # fmt: skip
"""Commands that change nothing that outlives them."""

WITHOUT_DRY_RUN: Final = {
    "backup": "it writes a file that was not there",
    "demo": "it has a gateway of its own, and leaves nothing but a picture",
    "models adapt": "without --write it only proposes",
    "models convert": "it makes a version of its own, and replaces none",
    "models evaluate": "--no-record writes nothing",
    "models golden": "it writes beside a version that has none",
    "models optimize": "it makes versions of its own, and replaces none",
    "models push": "it makes a version of its own, and replaces none",
    "versions sign": "it writes beside a version, and again takes its place",
    "versions tag": "tags decide nothing, and --remove takes one away",
    "notifications retry": "it changes nothing that was decided",
    "recordings delete": "recordings list shows how much there is, and export takes it away before",
    "history export": "it writes a file that was not there",
    "recordings export": "it writes a file that was not there",
    "rollouts abort": "it only ever takes traffic from a canary",
    "rollouts pause": "resume undoes it",
    "rollouts promote": "rollouts status shows what is next",
    "rollouts resume": "pause undoes it",
    "rollouts retry": "rollouts start --dry-run tries the same plan",
    "versions load": "it moves no traffic, and unload undoes it",
    "versions unload": "it is refused where a route needs the version, and load undoes it",
}
"""Command that writes → why it needs no --dry-run."""


@pytest.fixture(params=COMMANDS, ids=lambda name: name.replace(" ", "-"))
def command(request: pytest.FixtureRequest) -> Command:
    found: Command = COMMANDS[request.param]
    return found


def test_it_says_what_it_does_and_what_each_argument_is(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.words, "--help"]) == 0

    assert command.name in capsys.readouterr().out
    assert command.summary
    assert [flag.names for flag in command.flags if not flag.help] == []


def test_it_shows_an_example_that_it_takes(command: Command) -> None:
    assert command.examples()

    for line in command.examples():
        words = shlex.split(line.partition(" > ")[0])[1:]
        args = parser_for(words[0]).parse_args(words)

        assert [args.noun, *([args.verb] if len(command.words) > 1 else [])] == list(command.words)


def test_it_answers_scripts_or_there_is_a_reason(command: Command) -> None:
    has_json = any("--json" in flag.names for flag in command.flags)

    assert has_json is (command.name not in WITHOUT_JSON)


def test_it_can_be_tried_without_writing_or_there_is_a_reason(command: Command) -> None:
    has_dry_run = any("--dry-run" in flag.names for flag in command.flags)

    assert has_dry_run is (command.name not in READS | WITHOUT_DRY_RUN.keys())


def test_there_is_no_reason_for_a_command_that_is_gone() -> None:
    assert WITHOUT_JSON.keys() | READS | WITHOUT_DRY_RUN.keys() <= COMMANDS.keys()


def test_the_reference_in_the_documentation_is_what_the_parser_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "cli.md"

    assert page.read_text(encoding="utf-8") == cli_reference.page(), "run `python -m tools.cli_reference`"
