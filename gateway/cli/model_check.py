"""``gateway models check``: can callers of one version be served by another?"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandMisused
from gateway.cli.output import print_json, print_table, say
from gateway.cli.repository import add_models, opened
from gateway.core.lineage import InvalidLineage, read_name

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from gateway.models.working_copy import WorkingCopy

EXAMPLE: Final = """example: gateway models check breast-cancer/1 breast-cancer/2 --models ./models

OLD and NEW are NAME/VERSION of the repository, or files or directories.
Exit code 0: callers notice nothing. 1: they do, and the tensors are named. 2: there is no such version."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("check", help="compare two versions as their callers see them", epilog=EXAMPLE)
    parser.add_argument("old", metavar="OLD", help="the version that callers know")
    parser.add_argument("new", metavar="NEW", help="the version that is to answer them")
    add_models(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Compare; return 0 where all is compatible, else 1."""
    from gateway.convert.checking import check
    from gateway.core.compatibility import Verdict, worst

    with opened(args.models) as copy:
        findings = check(*(_found(copy, named) for named in (args.old, args.new)))
    verdict = worst(findings)
    rows = [(each.verdict.value, each.rule, each.tensor, each.old, each.new) for each in findings]
    if args.json:
        names = ("verdict", "rule", "tensor", "old", "new")
        print_json({"verdict": verdict.value, "findings": [dict(zip(names, row, strict=True)) for row in rows]})
    elif rows:
        print_table(("VERDICT", "RULE", "TENSOR", "OLD", "NEW"), rows)
    if verdict is not Verdict.COMPATIBLE:
        tensors = ", ".join(dict.fromkeys(each.tensor for each in findings if each.verdict is not Verdict.COMPATIBLE))
        say(f"{args.new} cannot take the place of {args.old} ({verdict.value}): {tensors}")
        return 1
    if not args.json:
        print(f"{args.new} can take the place of {args.old}")
    return 0


def _found(copy: WorkingCopy, named: str) -> Path:
    """Return the model file that *named* means. Raises CommandMisused."""
    from gateway.convert.checking import find

    with suppress(InvalidLineage):  # a file
        name = read_name(named)
        copy.fetch(name.model, name.version)
    path = find(named, copy.root)
    if path is None:
        raise CommandMisused(
            f"{named!r} is neither a version in {copy.name} nor a file; name one, or another repository with --models"
        )
    return path
