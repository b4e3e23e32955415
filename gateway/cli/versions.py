"""``gateway versions``: show, compare, tag, load and unload the versions of a model."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from gateway.cli import lineage_drawing, usage, version_diff, version_sign, version_tag
from gateway.cli.client import add_flags, connect
from gateway.cli.errors import CommandFailed
from gateway.cli.output import plain, print_json, print_table, say

if TYPE_CHECKING:
    import argparse

    from gateway.cli.client import Client

LOOK_AGAIN_SECONDS: Final = 0.25
STALE_SECONDS: Final = 3.0
"""How long a FAILED from before the order may still be shown: workers hear of an order within two seconds."""


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    parser = subparsers.add_parser("versions", help="show, compare, tag, load and unload versions")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="the versions of a model", epilog="example: gateway versions list fraud")
    listing.add_argument("model", metavar="MODEL")
    listing.add_argument("--tag", action="append", default=[], metavar="KEY[=VALUE]",
                         help="only those with this tag; repeat it for several")  # fmt: skip
    showing = verbs.add_parser(
        "show", help="one version, its signature and metadata", epilog="example: gateway versions show fraud 2"
    )
    loading = verbs.add_parser(
        "load",
        help="load a version, again if it failed, and wait for it",
        epilog="example: gateway versions load fraud 3 --timeout 120",
    )
    unloading = verbs.add_parser(
        "unload", help="unload a version that no route needs", epilog="example: gateway versions unload fraud 1"
    )
    _comparing(verbs)
    version_tag.add_parser(verbs)
    version_sign.add_parser(verbs)
    for verb in (showing, loading, unloading):
        verb.add_argument("model", metavar="MODEL")
        verb.add_argument("version", metavar="VERSION")
    for verb in (loading, unloading):
        verb.add_argument("--reason", default="", help="why, for the history")
    loading.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="how long to wait (default 60)")
    loading.add_argument("--no-wait", action="store_true", help="return when the order is taken")
    for verb in (listing, showing, loading, unloading):
        add_flags(verb)


def _comparing(verbs: Any) -> None:
    tracing = verbs.add_parser(
        "lineage",
        help="what versions were made from, and what was made from them",
        epilog="example: gateway versions lineage fraud --format mermaid",
    )
    tracing.add_argument("name", metavar="MODEL[/VERSION]", help="all versions of a model, or one")
    tracing.add_argument("--format", choices=[*lineage_drawing.FORMATS, "json"], default="tree", help="[tree]")
    diffing = verbs.add_parser("diff", help="what differs between two versions", epilog=version_diff.EXAMPLE)
    diffing.add_argument("old", metavar="OLD", help="MODEL/VERSION")
    diffing.add_argument("new", metavar="NEW", help="MODEL/VERSION")
    for verb in (tracing, diffing):
        add_flags(verb)


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    if args.verb == "tag":
        return version_tag.run(args)
    if args.verb == "sign":
        return version_sign.run(args)
    verbs = {
        "list": _list, "show": _show, "load": _load, "unload": _unload,
        "lineage": _lineage, "diff": version_diff.run,
    }  # fmt: skip
    return verbs[args.verb](args, connect(args))


def _list(args: argparse.Namespace, client: Client) -> int:
    answer = client.get(args.model, "versions", tag=args.tag).data
    if args.json:
        print_json(answer)
        return 0
    rows = [
        (
            v["version"], v["state"], v["weight"], _workers(v), *usage.cells(v), v["digest"][:12], _tags(v["tags"]),
            v["reason"] or v["note"],
        )
        for v in answer["versions"]
    ]  # fmt: skip
    print_table(("VERSION", "STATE", "WEIGHT", "READY ON", *usage.TITLES, "DIGEST", "TAGS", "REASON"), rows)
    return 0


def _show(args: argparse.Namespace, client: Client) -> int:
    answer = client.get(args.model, "versions", args.version).data
    if args.json:
        print_json(answer)
        return 0
    rows: list[tuple[str, object]] = [
        ("model", answer["model"]),
        ("version", answer["version"]),
        ("state", answer["state"]),
        ("reason", answer["reason"]),
        ("note", answer["note"]),
        ("weight", answer["weight"]),
        ("ready on", _workers(answer)),
        *zip(("memory", "rows", "cpu", "cpu per row", "share of cpu"), usage.cells(answer), strict=True),
        ("digest", answer["digest"]),
        ("tags", _tags(answer["tags"])),
    ]
    for direction, tensors in (answer["signature"] or {}).items():
        rows += [(direction, f"{t['name']} {t['datatype']} {t['shape']}") for t in tensors]
    rows += [(name, value) for name, value in (answer["metadata"] or {}).items() if value]
    print_table(("WHAT", "VALUE"), rows)
    return 0


def _lineage(args: argparse.Namespace, client: Client) -> int:
    model, slash, version = args.name.partition("/")
    answer = client.get(model, "lineage", **({"version": version} if slash else {})).data
    if args.json or args.format == "json":
        print_json(answer)
    else:
        print(lineage_drawing.FORMATS[args.format](answer))
    return 0


def _load(args: argparse.Namespace, client: Client) -> int:
    before = client.get(args.model, "versions", args.version).data
    client.send("POST", args.model, "versions", args.version, "load", body={"reason": args.reason})
    if args.no_wait:
        say(f"version {args.version} of {args.model} is ordered to load")
        return 0
    after = _wait(args, client, was_failed=before["state"] == "FAILED")
    if args.json:
        print_json(after)
    if after["state"] == "FAILED":
        raise CommandFailed(f"version {args.version} of {args.model} is FAILED: {plain(after['reason'])}")
    if not args.json:
        print(f"version {args.version} of {args.model} is READY on {_workers(after)} workers")
    return 0


def _wait(args: argparse.Namespace, client: Client, *, was_failed: bool) -> dict[str, Any]:
    """Return the version once it is READY, or FAILED by this order rather than by an earlier one."""
    told = None
    start = monotonic()
    while True:
        now: dict[str, Any] = client.get(args.model, "versions", args.version).data
        passed = monotonic() - start
        if now["state"] == "READY":
            return now
        if now["state"] != "FAILED":
            was_failed = False
        elif not was_failed or passed > STALE_SECONDS:
            return now
        if passed > args.timeout:
            raise CommandFailed(f"version {args.version} is still {now['state']} after {args.timeout:g} s")
        if told != (told := f"{now['state']}, ready on {_workers(now)} workers"):
            say(f"version {args.version} of {args.model}: {told}")
        sleep(LOOK_AGAIN_SECONDS)


def _unload(args: argparse.Namespace, client: Client) -> int:
    answer = client.send("POST", args.model, "versions", args.version, "unload", body={"reason": args.reason}).data
    if args.json:
        print_json(answer)
    else:
        print(f"version {args.version} of {args.model} is ordered to unload; requests under way are finished")
    return 0


def _workers(version: dict[str, Any]) -> str:
    return f"{version['workers']['ready']}/{version['workers']['total']}"


def _tags(tags: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in tags.items())
