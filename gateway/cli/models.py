"""``gateway models``: what is there, what is made, what fits in place of what, what goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli import (
    model_adapt,
    model_check,
    model_convert,
    model_drift,
    model_evaluate,
    model_golden,
    model_optimize,
    model_prune,
    model_push,
    model_quality,
    model_replay,
)
from gateway.cli.client import add_flags, connect
from gateway.cli.output import print_json, print_table, say, weights

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    line = "show, make, compare and remove models"
    parser = subparsers.add_parser("models", help=line, description=f"{line.capitalize()}.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser(
        "list", help="all models, their routes and versions", epilog="example: gateway models list --json"
    )
    add_flags(listing)
    model_convert.add_parser(verbs)
    model_check.add_parser(verbs)
    model_drift.add_parser(verbs)
    model_adapt.add_parser(verbs)
    model_golden.add_parser(verbs)
    model_evaluate.add_parser(verbs)
    model_optimize.add_parser(verbs)
    model_prune.add_parser(verbs)
    model_push.add_parser(verbs)
    model_quality.add_parser(verbs)
    model_replay.add_parser(verbs)


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    verbs = {
        "list": _list,
        "convert": model_convert.run,
        "check": model_check.run,
        "drift": model_drift.run,
        "adapt": model_adapt.run,
        "golden": model_golden.run,
        "evaluate": model_evaluate.run,
        "optimize": model_optimize.run,
        "prune": model_prune.run,
        "push": model_push.run,
        "quality": model_quality.run,
        "replay": model_replay.run,
    }
    return verbs[args.verb](args)


def _list(args: argparse.Namespace) -> int:
    answer = connect(args).get().data
    if args.json:
        print_json(answer)
        return 0
    if answer["store"] != "up":
        say("the store does not answer: shown is what this gateway served last")
    rows = [
        (
            model["name"],
            "yes" if model["ready"] else "no",
            model["revision"],
            weights(model["route"]["split"]) if model["route"] else None,
            " ".join(f"{v['version']}:{v['state']}" for v in model["versions"]),
        )
        for model in answer["models"]
    ]
    print_table(("MODEL", "READY", "REVISION", "SPLIT", "VERSIONS"), rows)
    return 0
