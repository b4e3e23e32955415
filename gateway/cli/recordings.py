"""``gateway recordings``: what was recorded of the traffic, to take away and to delete."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gateway.cli.client import add_flags, connect
from gateway.cli.output import plain, print_json, print_table, say, write_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

PATH: Final = "/api/v1/recordings"


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    line = "what was recorded of the traffic"
    parser = subparsers.add_parser("recordings", help=line, description=f"{line.capitalize()}.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="how much of which model", epilog="example: gateway recordings list")
    exporting = verbs.add_parser("export", help="the recorded requests, one a line, oldest first",
                                 epilog="example: gateway recordings export fraud --out requests.jsonl")  # fmt: skip
    exporting.add_argument("model", metavar="MODEL")
    exporting.add_argument("--out", type=Path, metavar="FILE", help="where to; must not be there yet [stdout]")
    exporting.add_argument("--last", type=_positive, metavar="N", help="the newest N only")
    deleting = verbs.add_parser("delete", help="delete what was recorded of a model",
                                epilog="example: gateway recordings delete fraud")  # fmt: skip
    deleting.add_argument("model", metavar="MODEL")
    for verb in (listing, exporting, deleting):
        add_flags(verb)


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    return {"list": _list, "export": _export, "delete": _delete}[args.verb](args)


def recorded(args: argparse.Namespace, model: str) -> Iterator[bytes]:
    """Yield what is recorded of *model* at the gateway that *args* name, one request a line."""
    return connect(args).lines(f"/api/v1/models/{quote(model, safe='')}/recordings")


def _list(args: argparse.Namespace) -> int:
    data = connect(args).ask("GET", PATH).data
    if args.json:
        print_json(data)
        return 0
    rows = [
        (each["model"], each["requests"], each["bytes"], _when(each["since"]), _when(each["until"]))
        for each in data["recordings"]
    ]
    print_table(("MODEL", "REQUESTS", "BYTES", "SINCE", "UNTIL"), rows)
    return 0


def _export(args: argparse.Namespace) -> int:
    """Write the lines; with --json they stay what they are, JSON."""
    lines = recorded(args, args.model)
    if args.last:
        lines = iter(deque(lines, args.last))
    count = write_lines(lines, args.out)
    if args.out is not None:
        say(f"{count} requests of {args.model} are in {args.out}")
    return 0


def _delete(args: argparse.Namespace) -> int:
    data = connect(args).ask("DELETE", f"/api/v1/models/{quote(args.model, safe='')}/recordings").data
    if args.json:
        print_json(data)
    else:
        print(f"{data['deleted_bytes']} bytes that were recorded of {plain(data['model'])} are deleted")
    return 0


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number
