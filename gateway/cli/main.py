"""The command ``gateway``: one file per noun, imported only when it is named.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 nobody knows (a comparison that did not happen).
Answers go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

from gateway.cli.errors import CommandFailed, CommandMisused, CommandUndecided
from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Sequence

NOUNS: Final = {
    "serve": ("gateway.cli.serve", "start a gateway"),
    "demo": ("gateway.cli.demo", "play the whole story on real data with live traffic"),
    "models": ("gateway.cli.models", "show, make, compare and remove models"),
    "versions": ("gateway.cli.versions", "show, compare, tag, load and unload versions"),
    "routes": ("gateway.cli.routes", "show, change, explain and restore routes"),
    "weights": ("gateway.cli.weights", "move traffic between the versions of a model"),
    "rollouts": ("gateway.cli.rollouts", "walk a canary through its steps, watched by its guards"),
    "experiments": ("gateway.cli.experiments", "compare two versions by labels and rewards"),
    "notifications": ("gateway.cli.notifications", "who is told of decisions, and what could not be told"),
    "history": ("gateway.cli.history", "who changed what: check that nobody rewrote it, and take it out"),
    "backup": ("gateway.cli.backup", "write what the store holds into a file"),
    "restore": ("gateway.cli.restore", "put what a backup holds into the store"),
    "recordings": ("gateway.cli.recordings", "what was recorded of the traffic"),
    "learn": ("gateway.cli.learn", "learn from labelled answers, and send out what proves better"),
    "top": ("gateway.cli.top", "watch models, versions and rollouts live"),
    "context": ("gateway.cli.context", "keep the addresses of several gateways, and choose one"),
    "completion": ("gateway.cli.completion", "have bash, zsh or fish complete commands, flags and models"),
    "doctor": ("gateway.cli.doctor", "check what a gateway needs, and say what to do"),
}
"""Noun → the module with its ``add_parser(subparsers)`` and ``run(args) -> int``, and its line of help."""


class Parser(argparse.ArgumentParser):
    """Refuses abbreviated flags: a flag added later must not change what a script means."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        return _run(words)
    except SystemExit as exc:  # argparse, for --help and wrong usage
        return exc.code if isinstance(exc.code, int) else 0
    except CommandMisused as exc:
        return _tell(str(exc), 2)
    except CommandUndecided as exc:
        return _tell(str(exc), 3)
    except (CommandFailed, GatewayError) as exc:
        return _tell(str(exc), 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(words: Sequence[str]) -> int:
    chosen = next((word for word in words if not word.startswith("-")), None)
    parser = parser_for(chosen)
    args = parser.parse_args(words)
    if args.noun is None:
        parser.print_help(sys.stderr)
        return 2
    status = import_module(NOUNS[args.noun][0]).run(args)
    sys.stdout.flush()
    assert isinstance(status, int)
    return status


def parser_for(chosen: str | None) -> argparse.ArgumentParser:
    """Return the parser; only the *chosen* noun's module is imported, the others are a line of help."""
    parser = Parser(
        prog="gateway",
        description="Serve models, split their traffic between versions, take a bad version out by itself.",
        epilog="example: gateway serve --models ./models",
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="print the version and exit")
    nouns = parser.add_subparsers(dest="noun", metavar="COMMAND", parser_class=Parser)
    for noun, (module, line) in NOUNS.items():
        if noun == chosen:
            import_module(module).add_parser(nouns)
        else:
            nouns.add_parser(noun, help=line, add_help=False)
    return parser


class ShowVersion(argparse.Action):
    """Prints the version of the package, looked up only when somebody asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import gateway

        print(f"gateway {gateway.__version__}")
        parser.exit()


def _tell(message: str, code: int) -> int:
    print(f"gateway: {message}", file=sys.stderr)
    return code
