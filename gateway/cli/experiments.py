"""``gateway experiments``: what labels and rewards say of two versions that have traffic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.client import add_flags, connect
from gateway.cli.errors import CommandFailed
from gateway.cli.experiment_drawing import draw
from gateway.cli.experiment_page import page
from gateway.cli.experiment_tables import rate_table, remarks, result_table
from gateway.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    line = "compare two versions by labels and rewards"
    parser = subparsers.add_parser("experiments", help=line, description=f"{line.capitalize()}.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    report = verbs.add_parser(
        "report",
        help="how far two versions are apart, with intervals that hold at every moment",
        epilog="example: gateway experiments report breast-cancer --versions 1 2 --html report.html",
    )
    report.add_argument("model", metavar="MODEL")
    report.add_argument(
        "--versions", nargs=2, required=True, metavar=("A", "B"), help="A, and B that is compared with it"
    )
    report.add_argument("--rule", default="split", help="answers that this chose (default split, which is by chance)")
    report.add_argument("--apart", default="1%", help="say how long until such a difference is seen (default 1%%)")
    report.add_argument("--alpha", default="5%", help="chance that an interval is ever wrong (default 5%%)")
    report.add_argument("--html", type=Path, metavar="FILE", help="write a page with all of it")
    report.add_argument("--plot", type=Path, metavar="FILE", help="write the picture alone, as SVG")
    add_flags(report)


def run(args: argparse.Namespace) -> int:
    """Show the report and return the exit code."""
    first, second = args.versions
    asked = {"first": first, "second": second, "rule": args.rule, "apart": args.apart, "alpha": args.alpha}
    answer = connect(args).get(args.model, "experiments", "report", **asked).data
    for path, render in ((args.html, page), (args.plot, draw)):
        if path is not None:
            _write(path, render(answer))
    if args.json:
        print_json(answer)
        return 0
    if answer["metrics"]:
        print_table(*rate_table(answer))
        print()
        print_table(*result_table(answer))
    for remark in remarks(answer):
        say(remark)
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise CommandFailed(f"{path} cannot be written: {exc.strerror or exc}; name another place") from exc
