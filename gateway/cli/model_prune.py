"""``gateway models prune``: old versions leave the repository, never one that is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.cli.client import Refused, add_flags, connect
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain, print_json, print_table, say
from gateway.cli.repository import add_models, opened
from gateway.core.errors import InvalidDocument, InvalidSettings
from gateway.core.names import is_model_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Mapping, Sequence

    from gateway.cli.client import Client
    from gateway.core.retention import Fate
    from gateway.models.working_copy import WorkingCopy

EXAMPLE: Final = """example: gateway models prune fraud --keep 5 --models ./models --dry-run

What stays: the newest; what the route names, at whatever weight, as baseline, shadow or alias, or in a rule;
what the last rollout moved; and every ancestor of a version that stays. The gateway is asked what is in use."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("prune", help="remove old versions that nothing needs", epilog=EXAMPLE)
    parser.add_argument("name", metavar="MODEL", help="whose versions")
    parser.add_argument("--keep", type=_positive, required=True, metavar="N", help="how many of the newest stay")
    add_models(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    parser.add_argument("--offline", action="store_true", help="ask no gateway: only where none serves this repository")
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Remove what nothing needs; return 0."""
    client = None if args.offline else connect(args)
    with opened(args.models) as copy:
        decided = _decide(args, copy, _used(client, args.name))
        going = [each.version for each in decided if not each.stays]
        if going and not args.dry_run:
            going = _remove(args, copy, client, going)
    gone = "would go" if args.dry_run else "removed"
    if args.json:
        print_json({
            "model": args.name, "dry_run": args.dry_run, "removed": [str(version) for version in going],
            "kept": {str(each.version): each.reason for each in decided if each.stays},
        })  # fmt: skip
    else:
        rows = [(each.version, gone if each.version in going else "stays", each.reason) for each in decided]
        print_table(("VERSION", "WHAT", "WHY"), rows)
    return 0


def _decide(args: argparse.Namespace, copy: WorkingCopy, used: Mapping[int, str]) -> Sequence[Fate]:
    from gateway.core.retention import fates
    from gateway.models.pedigree import Pedigree

    if not is_model_name(args.name):
        raise CommandMisused(f"{args.name!r} is no name of a model")
    try:
        copy.fetch_lineage()
        lineage = Pedigree(copy.root)()
    except InvalidSettings as exc:
        raise CommandMisused(str(exc)) from exc
    there = [name.version for name in lineage.parents if name.model == args.name]
    if not there:
        raise CommandMisused(f"there is no version of {args.name} in {copy.name}; name another one with --models")
    return fates(args.name, there, keep=args.keep, used=used, lineage=lineage)


def _remove(args: argparse.Namespace, copy: WorkingCopy, client: Client | None, versions: Collection[int]) -> list[int]:
    """Remove *versions*, but for those that came into use meanwhile; return which are gone."""
    try:
        with copy.hide(args.name, versions) as hidden:
            back = sorted(_used(client, args.name).keys() & set(versions))
            for version in back:
                hidden.put_back(version)
                say(f"version {version} of {plain(args.name)} came into use, and stays")
    except OSError as exc:
        raise CommandFailed(
            f"the versions cannot be removed below {args.models}: {exc.strerror or exc}; may this user write there?"
        ) from exc
    return [version for version in versions if version not in back]


def _used(client: Client | None, model: str) -> Mapping[int, str]:
    """Return what the gateway needs of *model*, and why; nothing where no gateway is to be asked."""
    from gateway.core import document
    from gateway.core.retention import in_use

    if client is None:
        return {}
    answer = client.get().data
    if answer["store"] != "up":
        raise CommandFailed("the gateway's store does not answer, so nobody knows what is in use; try again later")
    found = next((each for each in answer["models"] if each["name"] == model), None)
    if found is None:
        raise CommandFailed(
            f"the gateway at {client.url} knows no model {plain(model)}, so it serves another repository; name the "
            f"right one with --url, or add --offline where no gateway serves this one"
        )
    if "route_error" in found:
        raise CommandFailed(f"the route cannot be read, so nobody knows what is in use: {plain(found['route_error'])}")
    try:
        route = document.parse(found["route"]) if found["route"] else None
    except InvalidDocument as exc:
        raise CommandFailed(f"this release cannot read the gateway's route ({exc}); use the gateway's own") from exc
    return in_use(route, _in_rollout(client, model) if found["rollout"] else ())


def _in_rollout(client: Client, model: str) -> Collection[int]:
    """Return the versions of the last rollout: its own, and those of the split that it would go back to."""
    try:
        rollout = client.get(model, "rollouts", "current").data
    except Refused as exc:
        if exc.status == 404:  # it was replaced by none, a moment ago
            return ()
        raise
    candidates = [each["version"] for each in rollout["candidates"]]
    return {int(each) for each in (*candidates, rollout["baseline"], *rollout["before"])}


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value
