"""``gateway models quality``: what labels said of each version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.cli.client import add_flags, connect
from gateway.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    import argparse

FIGURES: Final = ("accuracy", "f1", "log_loss", "brier", "mean_absolute_error", "mean_reward", "coverage")


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "quality",
        help="what labels said of each version",
        epilog="example: gateway models quality breast-cancer --window 24h",
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument(
        "--window", choices=("all", "24h", "1h"), default="all", help="labels of that time (default all)"
    )
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Show it and return the exit code."""
    answer = connect(args).get(args.model, "quality").data
    if args.json:
        print_json(answer)
        return 0
    found = [(each["version"], each["windows"][args.window]) for each in answer["versions"]]
    if not any(quality for _, quality in found):
        say(f"no label of {args.model} came in that time; POST /v2/models/{args.model}/feedback takes them")
    print_table(
        ("VERSION", "LABELS", *(name.upper().replace("_", " ") for name in FIGURES)),
        [(version, q["labels"], *(_short(q[name]) for name in FIGURES)) for version, q in found if q],
    )
    return 0


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"
