"""``gateway top``: models, versions, shares, rates and rollouts, redrawn in place or printed once."""

from __future__ import annotations

from time import monotonic, sleep, strftime
from typing import TYPE_CHECKING, Any, Final

from gateway.cli import screen, top_view
from gateway.cli.client import add_flags, connect
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain, print_json, say
from gateway.cli.top_reading import compare, look
from gateway.settings import can_redraw

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.cli.client import Client
    from gateway.cli.screen import Screen
    from gateway.cli.top_reading import Look

SHORTEST_SECONDS: Final = 0.2
LONGEST_SECONDS: Final = 3600.0
SCROLL: Final = {"j": 1, "k": -1}


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    parser = subparsers.add_parser(
        "top",
        help="watch models, versions and rollouts live",
        description="Watch models live: shares, requests and errors per second, latencies, rows per second, processors "
        "in use (100 % is one) and memory of one worker, rollouts with the e-value of each guard and where it rolls "
        "back. Rates are of this replica. q quits, j and k scroll.",
        epilog="example: gateway top fraud --once",
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="these only [all]")
    parser.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between two looks [2]")
    parser.add_argument(
        "--once", action="store_true", help="print one table, with the rates of one interval; so does --json"
    )
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Watch until q or Ctrl-C, or print once; return 0."""
    if not SHORTEST_SECONDS <= args.interval <= LONGEST_SECONDS:
        allowed = f"write {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g}"
        raise CommandMisused(f"--interval {args.interval:g} is no time to wait; {allowed}")
    client = connect(args)
    if args.once or args.json:
        return _once(args, client)
    if not (screen.is_possible() and can_redraw()):
        raise CommandMisused("this is no terminal that can be redrawn; add --once, or --json for scripts")
    first = look(client, args.models, monotonic())
    with screen.opened() as terminal:
        _watch(args, client, first, terminal)
    return 0


def _once(args: argparse.Namespace, client: Client) -> int:
    before = look(client, args.models, monotonic())
    sleep(args.interval)
    shown = compare(before, look(client, args.models, monotonic()))
    if args.json:
        print_json(shown)
        return 0
    if shown["store"] != "up":
        say("the store does not answer: shown is what this gateway served last")
    print("\n".join(top_view.body(shown)))
    return 0


def _watch(args: argparse.Namespace, client: Client, first: Look, terminal: Screen) -> None:
    """Look and draw until somebody quits. A gateway that is away for a while is waited for, and said to be."""
    before, shown, trouble, offset = first, compare(first, first), "", 0
    due = monotonic() + args.interval
    while True:
        head = _head(client, shown, trouble)
        lines, offset = top_view.page(top_view.body(shown), head, *terminal.size(), offset)
        terminal.draw(lines)
        key = terminal.wait(due - monotonic())
        if key == "q":
            return
        offset += SCROLL.get(key, 0)
        if monotonic() < due:
            continue
        try:
            now = look(client, args.models, monotonic())
        except CommandFailed as exc:
            trouble = str(exc)
        else:
            before, shown, trouble = now, compare(before, now), ""
        due = monotonic() + args.interval


def _head(client: Client, shown: Mapping[str, Any], trouble: str) -> str:
    store = "" if shown["store"] == "up" else "  the store does not answer"
    return plain(f"gateway top  {client.url}  {strftime('%H:%M:%S')}{store}  {trouble}".rstrip())
