"""``gateway models drift``: whether what a model is asked and answers still looks as it used to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.cli.client import add_flags, connect
from gateway.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    import argparse

EPILOG: Final = """example: gateway models drift breast-cancer

Requests are sampled and compared with the reference that `gateway models evaluate` left beside the version, or with
the version's own first requests where there is none. Exit code 1 where a column drifted or a figure is out of the
ordinary."""

TITLES: Final = ("VERSION", "COLUMN", "STATE", "PSI", "ROWS", "REASON")


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "drift", help="whether what a model is asked and answers still looks as it used to", epilog=EPILOG
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--all", action="store_true", help="show the columns that look as they used to, too")
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Show it and return the exit code."""
    answer = connect(args).get(args.model, "drift").data
    found = answer["versions"]
    if args.json:
        print_json(answer)
    else:
        _show(args, found)
    return int(any(each["drifted"] or each["anomalies"] for each in found))


def _show(args: argparse.Namespace, found: Any) -> None:
    if not found:
        say(f"no request of {args.model} was looked at yet; samples come within seconds of the first requests")
    rows = []
    for each in found:
        for column in each["columns"]:
            if args.all or column["state"] not in {"stable", "unknown"}:
                psi = f"{column['psi']:.3f}"
                rows.append((each["version"], column["column"], column["state"], psi, column["rows"], column["reason"]))
    if rows:
        print_table(TITLES, rows)
    for each in found:
        say(_line(each))
        for anomaly in each["anomalies"]:
            say(anomaly["reason"])


def _line(each: Any) -> str:
    """Return what a version was compared with, in one line."""
    reference = each["reference"]
    if reference is None:
        return f"version {each['version']}: {each['rows']} requests so far will be its reference"
    verdict = f"{len(each['reasons'])} columns drifted" if each["drifted"] else "nothing drifted"
    return (
        f"version {each['version']}: {verdict}; {each['rows']} requests compared with {reference['rows']} rows of "
        f"{reference['source']}"
    )
