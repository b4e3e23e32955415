"""The flags of a ready plan: ``--policy canary --size 10 --wait 5m`` in place of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.errors import CommandMisused
from gateway.core.policies import PARAMETERS, POLICIES, REPLACED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

HELP = {
    "size": ("PERCENT", "canary: the canary's first share; linear: how much more each step gives it"),
    "wait": ("DURATION", "canary, linear: how long each share is watched"),
    "holdback": ("PERCENT", "all but all_at_once: what the old version keeps in the bake, to compare with; 0 is none"),
    "bake": ("DURATION", "all: how long it is watched with all the rest, the old version being loaded"),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add --policy and what it can be told."""
    parser.add_argument("--policy", choices=sorted(POLICIES), help="a ready plan, in place of a plan's steps")
    for name in PARAMETERS:
        metavar, line = HELP[name]
        parser.add_argument(f"--{name}", metavar=metavar, help=f"for --policy {line}")


def with_policy(args: argparse.Namespace, plan: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *plan* with the policy that the flags name in place of its steps. Raises CommandMisused."""
    told = {name: getattr(args, name) for name in PARAMETERS if getattr(args, name) is not None}
    if args.policy is None:
        if told:
            raise CommandMisused(f"--{next(iter(told))} says something of a policy; write --policy NAME too")
        return plan
    if args.steps:
        raise CommandMisused("--policy stands for the steps; write --policy or --step")
    rest = {member: value for member, value in plan.items() if member not in REPLACED}
    return rest | {"policy": {"name": args.policy, **told}}
