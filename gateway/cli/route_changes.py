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
from gateway.cli.errors import CommandFailed, CommandMisused, CommandUndecided
from gateway.cli.output import plain, print_json, say
from gateway.cli.route_words import in_words
from gateway.control.route_files import collect, list_files
from gateway.core.document import parse
from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Mapping, Sequence

    from gateway.cli.client import Client


@dataclass(frozen=True, slots=True)
class Change:
    """What the files ask of one model. *etag* is the tag of *before*; ``"0"`` stands for no route.

    *is_pruned*: no file routes the model, and *after* is what it gets where nobody says anything.
    """

    model: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    etag: str
    is_pruned: bool = False

    @property
    def is_needed(self) -> bool:
        return self.before != self.after

    def lines(self) -> list[str]:
        """Return the difference as a unified diff of route files."""
        before = as_text(self.before).splitlines() if self.before else []
        wanted = "no file" if self.is_pruned else "file"
        names = (f"{self.model} (now)" if self.before else "/dev/null", f"{self.model} ({wanted})")
        return list(difflib.unified_diff(before, as_text(self.after).splitlines(), *names, lineterm=""))


def as_text(route: Mapping[str, Any]) -> str:
    """Return a route document as the text of a route file."""
    return yaml.safe_dump(dict(route), sort_keys=False, default_flow_style=False, allow_unicode=False)


def run(args: argparse.Namespace) -> int:
    """Run ``apply`` or ``diff`` and return the exit code."""
    if args.prune and not Path(args.file).is_dir():
        raise CommandMisused(f"--prune needs a directory that routes every model, and {args.file!r} is none")
    if args.verb == "diff":
        try:
            return _diff(args, connect(args))
        except (CommandFailed, GatewayError) as exc:
            raise CommandUndecided(f"nothing is compared: {exc}") from exc
    client = connect(args)
    changes = _needed(args, client)
    _warn_of_rollouts(client, changes)
    if not args.json:
        _print(changes)
    if args.dry_run:
        return _try(args, client, changes)
    pruned = [plain(change.model) for change in changes if change.is_pruned]
    if pruned and not args.yes:
        raise CommandFailed(f"nothing is changed: --prune would reset {', '.join(pruned)}; add --yes to do it")
    return _apply(args, client, changes)


def _needed(args: argparse.Namespace, client: Client) -> list[Change]:
    """Return the changes that are needed; say which models no file routes, where they are not asked for."""
    path = Path(args.file)
    changes = read_changes(path, client)
    strays = read_strays(client, {change.model for change in changes}) if path.is_dir() else []
    if strays and not args.prune:
        names = ", ".join(plain(stray.model) for stray in strays)
        say(f"no file routes {names}; --prune takes that as a difference")
    return [change for change in changes if change.is_needed] + (strays if args.prune else [])


def read_strays(client: Client, routed_by_files: Collection[str]) -> list[Change]:
    """Return a change for every route that no file asks for and that is more than all traffic to the baseline.

    A model always has a route, so none is deleted: it gets the plain one, on the version that it trusts.
    """
    strays = []
    answer = client.get().data
    if answer["store"] != "up":
        raise CommandFailed("the gateway's store does not answer, so nobody knows what is routed; try again later")
    for model in answer["models"]:
        now = model["route"]
        if model["name"] not in routed_by_files and now and not _is_plain(now):
            after = parse({"split": {now["baseline"]: 100}}, model=model["name"]).as_dict()
            strays.append(Change(model["name"], now, after, f'"{model["revision"]}"', is_pruned=True))
    return strays


def _is_plain(route: Mapping[str, Any]) -> bool:
    answering = [version for version, weight in route["split"].items() if weight]
    extras = (route["rules"], route.get("shadow"), route.get("aliases"), route.get("rollout"))
    return answering == [route["baseline"]] and route["assign"]["by"] == "random" and not any(extras)


def _print(changes: Sequence[Change]) -> None:
    """Print each change as a unified diff, and below it in words."""
    for change in changes:
        print("\n".join(plain(line) if line else line for line in change.lines()))
        for sentence in in_words(change.before, change.after):
            print(plain(f"# {change.model}: {sentence}"))


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


def _try(args: argparse.Namespace, client: Client, changes: Sequence[Change]) -> int:
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


def _diff(args: argparse.Namespace, client: Client) -> int:
    """Show how the store has drifted from the files, and who wrote last; return 1 if it has."""
    changes = _needed(args, client)
    _warn_of_rollouts(client, changes)
    if not args.json:
        for change in changes:
            if change.before is not None:
                say(_last_writer(client, change.model))
        _print(changes)
    _show(args, changes)
    return 1 if changes else 0


def _warn_of_rollouts(client: Client, changes: Sequence[Change]) -> None:
    """Say which rollouts the changes would stop: another split pauses one that is under way."""
    for change in changes:
        try:
            rollout = client.get(change.model, "rollouts", "current").data
        except Refused as exc:
            if exc.status in {404, 409}:  # there is none, or the route cannot be read, of which the write tells
                continue
            raise
        if not rollout["is_over"]:
            say(f"{change.model}: a rollout of version {rollout['candidate']} is under way; applying the file stops it")


def _last_writer(client: Client, model: str) -> str:
    entries = client.get(model, "history", limit="100").data
    last = next((each for each in entries if each["after"] is not None), None)
    if last is None:
        return f"{model} differs; its history does not say since when"
    because = f": {last['reason']}" if last["reason"] else ""
    return f"{model} differs; {last['who']} wrote revision {last['revision']} last{because}"


def _show(args: argparse.Namespace, changes: Sequence[Change], refused: Mapping[str, str] | None = None) -> None:
    """Print the changes as JSON, where that is asked for; with *refused*, a dry run's, why one would be refused."""
    if args.json:
        shown: list[dict[str, Any]] = [
            {
                "model": change.model, "before": change.before, "after": change.after, "pruned": change.is_pruned,
                "words": in_words(change.before, change.after),
            }
            for change in changes
        ]  # fmt: skip
        for each in shown if refused is not None else ():
            each["refused"] = (refused or {}).get(each["model"])
        print_json(shown)
    elif not changes:
        say("nothing differs")


def _apply(args: argparse.Namespace, client: Client, changes: Sequence[Change]) -> int:
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
