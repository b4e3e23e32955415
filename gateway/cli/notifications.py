"""``gateway notifications``: who is told of decisions, what was given up, and to try that again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.client import add_flags, connect
from gateway.cli.output import plain, print_json, print_table

if TYPE_CHECKING:
    import argparse

PATH: Final = "/api/v1/notifications"


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    parser = subparsers.add_parser("notifications", help="who is told of decisions, and what could not be told")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser(
        "list", help="the targets, and what was given up", epilog="example: gateway notifications list"
    )
    retrying = verbs.add_parser(
        "retry", help="try again what was given up", epilog="example: gateway notifications retry fraud"
    )
    retrying.add_argument("model", metavar="MODEL")
    retrying.add_argument("--key", default="", help="this one only, as `list` shows it")
    for verb in (listing, retrying):
        add_flags(verb)


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    return _list(args) if args.verb == "list" else _retry(args)


def _list(args: argparse.Namespace) -> int:
    data = connect(args).ask("GET", PATH).data
    if args.json:
        print_json(data)
        return 0
    columns = ("name", "host", "format", "waiting", "oldest_seconds", "delivered", "failed", "given_up", "lost")
    titles = ["TARGET", "HOST", "FORMAT", "WAITING", "OLDEST s", "DELIVERED", "FAILED", "GIVEN UP", "LOST"]
    print_table(titles, [[target[column] for column in columns] for target in data["targets"]])
    if data["given_up"]:
        print("\ngiven up; `gateway notifications retry MODEL` tries again:")
        rows = [[each[name] for name in ("model", "key", "target", "type", "reason")] for each in data["given_up"]]
        print_table(["MODEL", "KEY", "TARGET", "TYPE", "REASON"], rows)
    return 0


def _retry(args: argparse.Namespace) -> int:
    body = {"model": args.model, **({"key": args.key} if args.key else {})}
    headers = {"content-type": "application/json"}
    data = connect(args).ask("POST", f"{PATH}/retry", json.dumps(body).encode(), headers).data
    if args.json:
        print_json(data)
    else:
        print(f"{plain(data['model'])}: {len(data['again'])} to be told again")
    return 0
