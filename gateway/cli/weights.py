"""``gateway weights set``: move traffic between the versions of a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.cli.client import add_flags, connect
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import print_json, weights
from gateway.cli.route_words import show_trial

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gateway.cli.client import Client


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    parser = subparsers.add_parser("weights", help="move traffic between the versions of a model")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    setting = verbs.add_parser(
        "set",
        help="replace the split of a model's route",
        description="Replace the split of a model's route; rules, assignment and baseline stay.",
        epilog='example: gateway weights set breast-cancer 1=95 2=5 --reason "first canary"',
    )
    setting.add_argument("model", metavar="MODEL")
    setting.add_argument("weights", nargs="+", metavar="VERSION=WEIGHT", help="any positive sum; 0 means never")
    setting.add_argument("--reason", default="", help="why, for the history")
    setting.add_argument("--if-match", type=int, metavar="REVISION", help="only if the route is still at this revision")
    setting.add_argument("--force", action="store_true", help="also for a version that was rolled back")
    setting.add_argument("--dry-run", action="store_true", help="have it checked, say what changes, change nothing")
    add_flags(setting)


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    body = {"weights": read_weights(args.weights), "reason": args.reason, "force": args.force}
    match = "*" if args.if_match is None else f'"{args.if_match}"'
    client = connect(args)
    if args.dry_run:
        return _try(args, client, body["weights"])
    answer = client.send("PATCH", args.model, "route", "weights", body=body, match=match)
    if args.json:
        print_json(answer.data)
    else:
        revision = (answer.etag or "").strip('"')
        print(f"{answer.data['model']} is at revision {revision}: {weights(answer.data['split'])}")
    return 0


def _try(args: argparse.Namespace, client: Client, split: object) -> int:
    now = client.get(args.model, "route")
    if args.if_match is not None and now.etag != f'"{args.if_match}"':
        raise CommandFailed(f"the route is no longer at revision {args.if_match}, but at {now.etag}; look at it again")
    return show_trial(args, client, now.data, {**now.data, "split": split}, force=args.force)


def read_weights(words: Sequence[str]) -> dict[str, int]:
    """Return version → weight from ``1=95 2=5``. Raises CommandMisused."""
    found: dict[str, int] = {}
    for word in words:
        match = re.fullmatch(r"([1-9][0-9]{0,17})=([0-9]{1,18})", word, re.ASCII)
        if match is None:
            raise CommandMisused(f"{word!r} is not VERSION=WEIGHT; write such as 1=95 2=5")
        if match[1] in found:
            raise CommandMisused(f"version {match[1]} is given twice; write each version once")
        found[match[1]] = int(match[2])
    return found
