"""``gateway models quality``: what labels said of each version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.cli.client import add_flags, connect
from gateway.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

FIGURES: Final = (
    "labels", "accuracy", "precision", "recall", "f1", "log_loss", "brier", "calibration_error", "mean_absolute_error",
    "mean_reward", "coverage", "mean_delay_seconds",
)  # fmt: skip
SEGMENT_FIGURES: Final = (
    "labels", "accuracy", "log_loss", "brier", "mean_absolute_error", "mean_reward", "mean_delay_seconds",
)  # fmt: skip
CLASS_FIGURES: Final = ("labels", "precision", "recall", "f1")
BIN_FIGURES: Final = ("rows", "accuracy")


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "quality",
        help="what labels said of each version",
        epilog="example: gateway models quality breast-cancer --window 24h",
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument(
        "--window", choices=("all", "24h", "1h", "5m"), default="all", help="labels of that time (default all)"
    )
    parser.add_argument(
        "--by", choices=("rule", "class", "confidence"), help="a line for each rule that chose, class or confidence"
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
    told = [(version, quality) for version, quality in found if quality]
    if args.by == "rule":
        parts = [(version, *each) for version, q in told for each in q["segments"].items()]
        _print("RULE", SEGMENT_FIGURES, parts)
        _warn([(f"{version} by {rule}", q) for version, rule, q in parts], answer["enough_labels"])
    elif args.by == "class":
        _print("CLASS", CLASS_FIGURES, [(version, *each) for version, q in told for each in q["classes"].items()])
    elif args.by == "confidence":
        bins = [(version, f"{each['confidence']:.4f}", each) for version, q in told for each in q["calibration"]]
        _print("CONFIDENCE", BIN_FIGURES, bins)
    else:
        _print(None, FIGURES, [(version, None, q) for version, q in told])
        _warn(told, answer["enough_labels"])
    return 0


def _warn(told: Sequence[tuple[str, Mapping[str, Any]]], enough: int) -> None:
    """Say which figures are of too few labels to be trusted."""
    few = [name for name, of in told if max(of["labels"], of["rewards"]) < enough]
    if few:
        say(f"of fewer than {enough} labels, too few to be trusted: version {', '.join(few)}")


def _print(part: str | None, names: Sequence[str], found: Sequence[tuple[str, str | None, Mapping[str, Any]]]) -> None:
    """Print a line for each of *found*: version, which *part* of it (no column where None), and figures by *names*."""
    titles = ("VERSION", *([part] if part else []), *(name.upper().replace("_", " ") for name in names))
    rows = [
        (version, *([which] if part else []), *(_short(of[name]) for name in names)) for version, which, of in found
    ]
    print_table(titles, rows)


def _short(value: float | None) -> str | None:
    return None if value is None else str(value) if isinstance(value, int) else f"{value:.4f}"
