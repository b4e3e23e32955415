"""``gateway routes apply`` and ``diff``: files against what is routed now.

All files are read before anything is changed: one that is broken stops the whole command.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gateway.cli.client import Refused, connect
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain, print_json, say
from gateway.control.route_files import collect, list_files

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.cli.client import Client


@dataclass(frozen=True, slots=True)
class Change:
    """What a file asks of one model. *etag* is the tag of *before*; ``"0"`` stands for no route."""

    model: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    etag: str

    @property
    def is_needed(self) -> bool:
        return self.before != self.after

    def lines(self) -> list[str]:
        """Return the difference as a unified diff of route files."""
        before = as_text(self.before).splitlines() if self.before else []
        names = (f"{self.model} (now)" if self.before else "/dev/null", f"{self.model} (file)")
        return list(difflib.unified_diff(before, as_text(self.after).splitlines(), *names, lineterm=""))


def as_text(route: Mapping[str, Any]) -> str:
    """Return a route document as the text of a route file."""
    return yaml.safe_dump(dict(route), sort_keys=False, default_flow_style=False, allow_unicode=False)


def run(args: argparse.Namespace) -> int:
    """Run ``apply`` or ``diff`` and return the exit code."""
    client = connect(args)
    changes = [change for change in read_changes(Path(args.file), client) if change.is_needed]
    if not args.json:
        for change in changes:
            print("\n".join(plain(line) if line else line for line in change.lines()))
    if args.verb == "diff":
        return _show(args, changes)
    if args.dry_run:
        return _try(args, client, changes)
    return _apply(args, client, changes)


def read_changes(path: Path, client: Client) -> list[Change]:
    """Return one change per model that *path* routes, needed or not. Raises CommandFailed for a file that is broken."""
    if not path.exists():
        raise CommandMisused(f"there is no file or directory {str(path)!r}")
    files = collect(list_files(path) if path.is_dir() else [path])
    if files.errors:
        raise CommandFailed("nothing is changed: " + "; ".join(str(error) for error in files.errors.values()))
    if not files.documents:
        raise CommandFailed(f"{str(path)!r} holds no route file; their names end in .yaml, .yml or .json")
    changes = []
    for model, document in files.documents.items():
        before, etag = _now(client, model)
        changes.append(Change(model, before, document.as_dict(), etag))
    return changes


def _now(client: Client, model: str) -> tuple[Mapping[str, Any] | None, str]:
    try:
        answer = client.get(model, "route")
    except Refused as exc:
        kind = str(exc.problem.get("type", "")).rpartition(":")[2]
        if kind == "unknown-route":
            return None, '"0"'
        if kind == "corrupt-route":  # a whole document repairs it
            return None, "*"
        raise
    return answer.data, answer.etag or "*"


def _try(args: argparse.Namespace, client: Client, changes: list[Change]) -> int:
    """Have the gateway check each change without writing it, and say which would be refused, and why."""
    refused = {}
    query = {"force": "true"} if args.force else {}
    for change in changes:
        try:
            client.send("POST", change.model, "route", "check", body=dict(change.after), query=query)
        except Refused as exc:
            refused[change.model] = str(exc)
    _show(args, changes, refused)
    if refused:
        said = "; ".join(f"{model}: {why}" for model, why in refused.items())
        raise CommandFailed(f"{len(refused)} of {len(changes)} routes would be refused: {said}")
    return 0


def _show(args: argparse.Namespace, changes: list[Change], refused: Mapping[str, str] | None = None) -> int:
    """Print the changes as JSON, where that is asked for; with *refused*, a dry run's, why one would be refused."""
    if args.json:
        shown: list[dict[str, Any]] = [
            {"model": change.model, "before": change.before, "after": change.after} for change in changes
        ]
        for each in shown if refused is not None else ():
            each["refused"] = (refused or {}).get(each["model"])
        print_json(shown)
    elif not changes:
        say("nothing differs")
    return 1 if args.verb == "diff" and args.exit_code and changes else 0


def _apply(args: argparse.Namespace, client: Client, changes: list[Change]) -> int:
    """Apply each change, also after one was refused; say at the end that not all are in."""
    applied, refused = [], []
    query = {"reason": args.reason or f"routes apply -f {args.file}"[:500]} | ({"force": "true"} if args.force else {})
    for change in changes:
        try:
            answer = client.send("PUT", change.model, "route", body=dict(change.after), match=change.etag, query=query)
        except Refused as exc:
            refused.append(f"{change.model}: {exc}")
            continue
        revision = int((answer.etag or '"0"').strip('"'))
        applied.append({"model": change.model, "revision": revision, "route": answer.data})
        if not args.json:
            say(f"{change.model} is at revision {revision}")
    if args.json:
        print_json(applied)
    elif not changes:
        say("nothing differs")
    if refused:
        raise CommandFailed(f"{len(refused)} of {len(changes)} routes were refused: " + "; ".join(refused))
    return 0
