"""``gateway completion``: a script for the shell, and the names that only a gateway knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain

if TYPE_CHECKING:
    import argparse

TIMEOUT_SECONDS: Final = 1.0
"""How long a person who pressed Tab waits for a gateway."""

EXAMPLE: Final = """example:
  gateway completion bash > ~/.local/share/bash-completion/completions/gateway
  gateway completion zsh > "${fpath[1]}/_gateway"
  gateway completion fish > ~/.config/fish/completions/gateway.fish

The script holds the commands and flags of this release; names of models are asked of the gateway that is
meant by GATEWAY_URL or `gateway context use`, with `gateway completion models`."""


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    parser = subparsers.add_parser(
        "completion",
        help="have bash, zsh or fish complete commands, flags and models",
        description="Print a script that has a shell complete commands, flags and names of models.",
        epilog=EXAMPLE,
    )
    parser.add_argument("what", choices=("bash", "zsh", "fish", "models"), help="a shell, or the names of all models")


def run(args: argparse.Namespace) -> int:
    """Print the script, or the names; without a gateway no names and no complaint. Returns 0."""
    if args.what == "models":
        print("".join(f"{name}\n" for name in _models()), end="")
        return 0
    from gateway.cli.commands import all_commands
    from gateway.cli.completion_scripts import SCRIPTS

    print(SCRIPTS[args.what](all_commands()), end="")
    return 0


def _models() -> list[str]:
    import argparse

    from gateway.cli.client import Client, connect

    try:
        meant = connect(argparse.Namespace(url=None, context=None, token_file=None, client_cert=None, client_key=None))
        quick = Client(meant.url, meant.token, timeout_seconds=TIMEOUT_SECONDS)
        return [plain(model["name"]) for model in quick.get().data["models"]]
    except (CommandFailed, CommandMisused):
        return []
