"""``gateway models adapt``: have callers of one version served by another, through an adapter that rules can find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandMisused
from gateway.cli.output import print_json, say
from gateway.cli.repository import add_models, need, opened
from gateway.core.names import is_model_name, version_number

if TYPE_CHECKING:
    import argparse

    from gateway.core.adapter_proposal import Proposal
    from gateway.models.working_copy import WorkingCopy

EXAMPLE: Final = """example: gateway models adapt fraud 3 --to 2 --write

Shows the adapter that has version 3 answer callers of version 2, and with --write publishes a child of version 3 that
has it. Exit code 1 where rules do not suffice: what is left is named, and can be declared in metadata.yaml by hand."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("adapt", help="have callers of one version served by another", epilog=EXAMPLE)
    parser.add_argument("name", metavar="MODEL", help="the model")
    parser.add_argument("version", metavar="VERSION", help="the version that is to answer")
    parser.add_argument("--to", dest="old", required=True, metavar="OLD", help="the version whose callers it gets")
    parser.add_argument("--by-position", action="store_true",
                        help="pair inputs, or outputs, that only their place tells apart")  # fmt: skip
    parser.add_argument("--write", action="store_true", help="publish the child")
    add_models(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Propose, and write where that was asked for; return 0 where callers would notice nothing, else 1."""
    from gateway.convert.adapting import Adapting, proposed, register

    with opened(args.models) as copy:
        version, old = (_there(args, copy, each) for each in (args.version, args.old))
        wish = Adapting(copy.root, args.name, version, old, copy.publish)
        proposal = proposed(wish, by_position=args.by_position)
        published = register(wish, proposal) if args.write and not proposal.left and _says_something(proposal) else None
    (_print_json if args.json else _print)(args, proposal, published)
    return 1 if proposal.left else 0


def _there(args: argparse.Namespace, copy: WorkingCopy, text: str) -> int:
    number = version_number(text)
    if number is None or not is_model_name(args.name):
        raise CommandMisused(f"there is no version {text} of {args.name}; write a model and numbers, such as fraud 3")
    need(copy, args.name, number)
    return number


def _says_something(proposal: Proposal) -> bool:
    from gateway.models.adapter_document import written_adapter

    return bool(written_adapter(proposal.adapter))


def _print_json(args: argparse.Namespace, proposal: Proposal, published: int | None) -> None:
    from gateway.core.compatibility import explain
    from gateway.models.adapter_document import written_adapter

    print_json({
        "model": args.name, "version": args.version, "to": args.old, "adapter": written_adapter(proposal.adapter),
        "by_position": [list(pair) for pair in proposal.by_position],
        "left": [explain(each) for each in proposal.left],
        "published": None if published is None else str(published),
    })  # fmt: skip


def _print(args: argparse.Namespace, proposal: Proposal, published: int | None) -> None:
    import yaml

    from gateway.core.compatibility import explain
    from gateway.models.adapter_document import written_adapter

    if not _says_something(proposal) and not proposal.left:
        print(f"version {args.version} of {args.name} needs no adapter for callers of version {args.old}")
        return
    print(yaml.safe_dump({"adapter": written_adapter(proposal.adapter)}, sort_keys=False, width=120), end="")
    for callers, own in proposal.by_position:
        say(f"{callers} and {own} are paired by their place alone: make sure that they mean the same")
    for each in proposal.left:
        say(f"not adapted: {explain(each)}")
    if published is not None:
        print(f"version {published} of {args.name} is version {args.version} for callers of version {args.old}")
    elif proposal.left:
        say("declare the rest in the metadata.yaml of a version of its own: see docs/adapting.md")
