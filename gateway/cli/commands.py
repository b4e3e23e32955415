"""Every command that the parser takes, as plain values: for completion, the reference, and the tests of both."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.cli.main import NOUNS, parser_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM: Final = "gateway"
SWITCH: Final = (0, "?")
"""How many words a flag takes that can stand alone."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One flag, or one argument by its place. *names* is empty for a place; *choices* for what can be anything."""

    names: tuple[str, ...]
    metavar: str
    choices: tuple[str, ...]
    takes_value: bool
    repeats: bool
    help: str


@dataclass(frozen=True, slots=True)
class Command:
    """One noun with its verb. *words* are what is typed after the program, *summary* its line in the help above it."""

    words: tuple[str, ...]
    summary: str
    description: str
    epilog: str
    arguments: tuple[Argument, ...]

    @property
    def name(self) -> str:
        return " ".join(self.words)

    @property
    def flags(self) -> tuple[Argument, ...]:
        return tuple(each for each in self.arguments if each.names)

    @property
    def places(self) -> tuple[Argument, ...]:
        return tuple(each for each in self.arguments if not each.names)

    def examples(self) -> list[str]:
        """Return the command lines that the help shows."""
        told = self.epilog.partition("example:")[2].split("\n\n")[0]
        return [line for each in told.splitlines() if (line := each.strip()).startswith(PROGRAM)]


def all_commands() -> list[Command]:
    """Return every command, in the order of the help. Imports every noun's module, and none of what it needs to run."""
    return [command for noun, (_, line) in NOUNS.items() for command in _below((noun,), line, _subparser(noun))]


def _subparser(noun: str) -> argparse.ArgumentParser:
    return _choices(parser_for(noun))[noun]


def _choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers below *parser* by their word, none below a leaf."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _below(words: tuple[str, ...], summary: str, parser: argparse.ArgumentParser) -> Iterator[Command]:
    below = _choices(parser)
    if not below:
        yield Command(words, summary, parser.description or "", parser.epilog or "", tuple(_arguments(parser._actions)))
        return
    (action,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    summaries = {each.dest: each.help or "" for each in action._choices_actions}
    for word, deeper in below.items():
        yield from _below((*words, word), summaries.get(word, ""), deeper)


def _arguments(actions: Sequence[argparse.Action]) -> Iterator[Argument]:
    for action in actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        yield Argument(
            tuple(action.option_strings),
            _metavar(action),
            tuple(str(each) for each in action.choices or ()),
            not action.option_strings or action.nargs not in SWITCH,
            action.nargs in {"*", "+"},
            (action.help or "").replace("%%", "%"),
        )


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
