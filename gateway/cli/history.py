"""``gateway history``: whether what was changed is what was written down, and all of it to take away."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from gateway.cli.client import add_flags, connect
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain, print_json, print_table, say, write_lines
from gateway.core.audit import Break, Link, entry_digest, follow

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from gateway.cli.client import Client


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    line = "who changed what: check that nobody rewrote it, and take it out"
    parser = subparsers.add_parser("history", help=line, description=f"{line.capitalize()}.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verifying = verbs.add_parser(
        "verify",
        help="whether each entry still holds the digest of the one before; exit code 1 where it is broken",
        epilog="example: gateway history verify fraud",
    )
    verifying.add_argument(
        "--noted",
        default="",
        metavar="DIGEST",
        help="a HEAD noted earlier, which must still be there, without a gap since",
    )
    verifying.add_argument("--file", type=Path, metavar="FILE", help="what `export` wrote, instead of asking a gateway")
    exporting = verbs.add_parser(
        "export",
        help="every entry as a line of JSON, newest first",
        epilog="example: gateway history export fraud --out history.jsonl",
    )
    exporting.add_argument("--out", type=Path, metavar="FILE", help="where to; must not be there yet [stdout]")
    for verb in (verifying, exporting):
        verb.add_argument("model", nargs="?", metavar="MODEL", help="one model [all]")
        add_flags(verb)


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    return {"verify": _verify, "export": _export}[args.verb](args)


def _export(args: argparse.Namespace) -> int:
    client = connect(args)
    models = _models(client, args.model)
    paths = [f"/api/v1/models/{quote(model, safe='')}/history/export" for model in models]
    count = write_lines(chain.from_iterable(client.lines(path) for path in paths), args.out)
    if args.out is not None:
        say(f"{count} entries of {len(models)} models are in {args.out}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    if args.noted and not args.model:
        raise CommandMisused("--noted is the digest of one model's history; name the MODEL")
    chains = _in_file(args) if args.file else _at_gateway(args)
    if args.json:
        print_json(chains)
    else:
        _show(chains)
    return 1 if any(found["breaks"] for found in chains) else 0


def _show(chains: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (each["model"], each["entries"], each["linked"], "yes" if each["is_whole"] else "no", each["head"])
        for each in chains
    ]
    print_table(("MODEL", "ENTRIES", "LINKED", "FROM THE FIRST", "HEAD"), rows)
    for each in chains:
        for found in each["breaks"]:
            _tell(each["model"], "is broken", found)
        for found in each.get("gaps", ()):  # a gateway of 0.4.0 knows none
            _tell(each["model"], "has a gap", found)


def _tell(model: str, what: str, found: Mapping[str, Any]) -> None:
    at = f" at revision {found['revision']} ({found['id']})" if found["id"] else ""
    say(f"the history of {plain(model)} {what}{plain(at)}: {plain(found['why'])}")


def _at_gateway(args: argparse.Namespace) -> list[dict[str, Any]]:
    client = connect(args)
    query = f"?{urlencode({'noted': args.noted})}" if args.noted else ""
    return [
        client.ask("GET", f"/api/v1/models/{quote(model, safe='')}/history/chain{query}").data
        for model in _models(client, args.model)
    ]


def _in_file(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what lies in the file; a line that was changed after its export is a break too."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for number, line in enumerate(_lines(args.file), start=1):
        try:
            entry = json.loads(line)
            found[entry["model"]].append(entry)
            Link(entry["id"], entry["revision"], entry["previous"], entry["digest"])
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            raise CommandFailed(f"line {number} of {args.file} is no entry of a history; export it again") from exc
    if args.model and args.model not in found:
        raise CommandFailed(f"{args.file} holds no entry of {plain(args.model)}")
    return [_chain(model, found[model], args.noted) for model in sorted(found) if args.model in {None, model}]


def _chain(model: str, entries: Sequence[Mapping[str, Any]], noted: str) -> dict[str, Any]:
    links = [Link(each["id"], each["revision"], each["previous"], entry_digest(each)) for each in entries]
    changed = [
        Break(link.id, link.revision, "it is not what was exported: its digest is another one")
        for link, each in zip(links, entries, strict=True)
        if link.digest != each["digest"]
    ]
    walked = follow(links, noted)
    return {"model": model, **asdict(walked), "breaks": [asdict(each) for each in (*changed, *walked.breaks)]}


def _lines(file: Path) -> Sequence[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as exc:
        raise CommandFailed(f"{str(file)!r} cannot be read; name what `gateway history export` wrote") from exc


def _models(client: Client, named: str | None) -> Sequence[str]:
    return [named] if named else [model["name"] for model in client.get().data["models"]]
