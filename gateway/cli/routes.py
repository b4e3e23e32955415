"""``gateway routes``: show, change, explain and restore how traffic is split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli import route_lint
from gateway.cli.client import Refused, add_flags, connect
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain, print_json, print_table, say, weights
from gateway.cli.route_words import show_trial

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from gateway.cli.client import Client


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    parser = subparsers.add_parser("routes", help="show, change, explain and restore routes")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _reading(verbs)
    _files(verbs)


def _reading(verbs: Any) -> None:
    listing = verbs.add_parser("list", help="the routes of all models", epilog="example: gateway routes list")
    showing = verbs.add_parser(
        "show", help="one route, as a route file", epilog="example: gateway routes show fraud > routes/fraud.yaml"
    )
    explaining = verbs.add_parser(
        "explain",
        help="which version a key gets, and why",
        epilog="example: gateway routes explain fraud user-17 --with header:x-tenant=acme",
    )
    history = verbs.add_parser("history", help="who did what and why", epilog="example: gateway routes history fraud")
    restoring = verbs.add_parser(
        "restore",
        help="bring back an earlier revision; without one, what was served last, after the store was wiped",
        epilog="example: gateway routes restore fraud 12 --reason incident",
    )
    for verb in (showing, explaining, history, restoring):
        verb.add_argument("model", metavar="MODEL")
    explaining.add_argument("key", metavar="KEY", help="the value that assigns a unit, such as a user's id")
    explaining.add_argument(
        "--with",
        dest="values",
        action="append",
        default=[],
        metavar="SOURCE=VALUE",
        help="what else the request holds, such as header:x-tenant=acme; may be repeated",
    )
    history.add_argument("--limit", type=int, default=20, help="how many entries, newest first (default 20)")
    restoring.add_argument("revision", nargs="?", type=int, metavar="REVISION")
    restoring.add_argument("--reason", default="", help="why, for the history")
    restoring.add_argument("--dry-run", action="store_true", help="say what REVISION would change, and change nothing")
    for verb in (listing, showing, explaining, history, restoring):
        add_flags(verb)


def _files(verbs: Any) -> None:
    applying = verbs.add_parser(
        "apply", help="make routes what files say", epilog="example: gateway routes apply -f routing_configs --dry-run"
    )
    applying.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")
    applying.add_argument("--reason", default="", help="why, for the history")
    applying.add_argument("--force", action="store_true", help="also for versions that were rolled back")
    applying.add_argument("--yes", action="store_true", help="really do what --prune says")
    diffing = verbs.add_parser(
        "diff",
        help="how routes differ from files, in words and as a diff",
        description="Compare routes with files. Exit code 0: nothing differs, 1: something does, 3: nobody knows.",
        epilog="example: gateway routes diff -f routing_configs --prune",
    )
    diffing.add_argument("--exit-code", action="store_true", help="kept for older scripts; it is so without it")
    for verb in (applying, diffing):
        verb.add_argument(
            "-f", "--file", required=True, metavar="FILE|DIR", help="a route file, or a directory of them"
        )
        verb.add_argument(
            "--prune",
            action="store_true",
            help="also the models that no file of DIR routes: all their traffic goes to their baseline, rules, shadows "
            "and aliases go",
        )
        add_flags(verb)
    route_lint.add_parser(verbs)


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    if args.verb == "lint":
        return route_lint.run(args)
    if args.verb in {"apply", "diff"}:
        from gateway.cli import route_changes

        return route_changes.run(args)
    verbs: dict[str, Callable[[argparse.Namespace, Client], int]] = {
        "list": _list,
        "show": _show,
        "explain": _explain,
        "history": _history,
        "restore": _restore,
    }
    return verbs[args.verb](args, connect(args))


def _list(args: argparse.Namespace, client: Client) -> int:
    answer = client.get().data
    routed = [model for model in answer["models"] if model["route"]]
    if args.json:
        print_json([{"revision": model["revision"], "route": model["route"]} for model in routed])
        return 0
    if answer["store"] != "up":
        say("the store does not answer: shown is what this gateway served last")
    rows = [
        (
            model["name"],
            model["revision"],
            weights(model["route"]["split"]),
            model["route"]["assign"]["by"],
            len(model["route"]["rules"]),
            model["route"]["baseline"],
        )
        for model in routed
    ]
    print_table(("MODEL", "REVISION", "SPLIT", "BY", "RULES", "BASELINE"), rows)
    return 0


def _show(args: argparse.Namespace, client: Client) -> int:
    answer = client.get(args.model, "route")
    if args.json:
        print_json(answer.data)
        return 0
    from gateway.cli.route_changes import as_text

    print(f"# revision {(answer.etag or '').strip(chr(34))}")
    print(as_text(answer.data), end="")
    return 0


def _explain(args: argparse.Namespace, client: Client) -> int:
    query = {"key": args.key}
    for pair in args.values:
        source, equals, value = pair.partition("=")
        if not equals or ":" not in source:
            raise CommandMisused(f"{pair!r} is not SOURCE=VALUE; write such as header:x-tenant=acme")
        query[source] = value
    answer = client.get(args.model, "explain", **query).data
    if args.json:
        print_json(answer)
    else:
        copied = " ".join(f"{version}={percent:g}%" for version, percent in answer["copied"].items())
        print_table(("WHAT", "VALUE"), list({**answer, "copied": copied}.items()))
    return 0


def _history(args: argparse.Namespace, client: Client) -> int:
    entries = client.get(args.model, "history", limit=str(args.limit)).data
    if args.json:
        print_json(entries)
        return 0
    rows = [
        (
            entry["revision"],
            _when(entry["at_ms"]),
            entry["who"],
            entry["action"],
            _split(entry["after"]),
            entry["reason"],
        )
        for entry in entries
    ]
    print_table(("REVISION", "WHEN", "WHO", "WHAT", "SPLIT AFTER", "REASON"), rows)
    return 0


def _restore(args: argparse.Namespace, client: Client) -> int:
    if args.dry_run:
        return _try_restore(args, client)
    body = {"reason": args.reason} | ({} if args.revision is None else {"revision": args.revision})
    try:
        answer = client.send("POST", args.model, "route", "restore", body=body, match="*")
    except Refused as exc:
        if args.revision is None and exc.status == 409:
            say("without a revision only a wiped store is restored")
        raise
    if args.json:
        print_json(answer.data)
    else:
        revision = (answer.etag or "").strip('"')
        print(f"{plain(args.model)} is restored, now at revision {revision}: {weights(answer.data['split'])}")
    return 0


def _try_restore(args: argparse.Namespace, client: Client) -> int:
    if args.revision is None:
        raise CommandMisused("a dry run needs a REVISION; `gateway routes history` shows those there are")
    entries = client.get(args.model, "history", limit="1000").data
    found = next((each["after"] for each in entries if each["revision"] == args.revision and each["after"]), None)
    if found is None:
        raise CommandFailed(f"the history of {plain(args.model)} has no route at revision {args.revision}")
    return show_trial(args, client, client.get(args.model, "route").data, found)


def _when(at_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _split(route: dict[str, Any] | None) -> str | None:
    return weights(route["split"]) if route else None
