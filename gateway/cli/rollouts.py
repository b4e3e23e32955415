"""``gateway rollouts``: walk a canary, or several, through their steps, watch it, stop it, try it out on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.client import add_flags, connect
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain, print_json, say
from gateway.cli.rollout_policy import add_flags as add_policy_flags
from gateway.cli.rollout_policy import with_policy

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

MOVES = {
    "pause": "stop where it stands; the guards go on watching",
    "resume": "go on from a pause, or open a gate",
    "promote": "skip the remaining steps",
    "abort": "give up: back to the split from before",
    "retry": "start an aborted or rolled back one anew",
}


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    parser = subparsers.add_parser("rollouts", help="walk a canary through its steps, watched by its guards")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    starting = verbs.add_parser(
        "start",
        help="start a rollout of a version, or of several side by side",
        description="Start a rollout. Without --plan, --step and --policy it follows the rollout of the model's route.",
        epilog='example: gateway rollouts start fraud 2 --step 1:60s --step 10:5m --reason "new features"',
    )
    starting.add_argument("model", metavar="MODEL")
    starting.add_argument("candidates", metavar="VERSION", nargs="+", help="the canary; several are compared at once")
    _add_plan(starting)
    starting.add_argument("--supersede", action="store_true", help="end a rollout that is under way")
    starting.add_argument("--force", action="store_true", help="also a version that was rolled back")
    starting.add_argument("--dry-run", action="store_true", help="check everything, show the plan, start nothing")
    showing = verbs.add_parser(
        "status",
        help="where it stands, and what the guards say",
        epilog="example: gateway rollouts status fraud --watch",
    )
    showing.add_argument("model", metavar="MODEL")
    showing.add_argument("--watch", action="store_true", help="go on until it ends; exit with 1 unless it succeeds")
    listing = verbs.add_parser(
        "list", help="the last rollout of every model", epilog="example: gateway rollouts list --json"
    )
    moves = {verb: _add_move(verbs, verb, line) for verb, line in MOVES.items()}
    moves["promote"].add_argument("--force", action="store_true", help="also out of a hold")
    moves["promote"].add_argument("--version", metavar="VERSION", help="which one of several goes on alone")
    moves["promote"].add_argument("--full", action="store_true", help="to the end at once, without the last watch")
    for verb in (starting, *moves.values()):
        verb.add_argument("--reason", default="", help="why, for the history")
        verb.add_argument(
            "--if-match", type=int, metavar="REVISION", help="only if the route is still at this revision"
        )
    for verb in (starting, showing, listing, *moves.values()):
        add_flags(verb)
    _add_simulation(verbs)


def _add_move(verbs: Any, verb: str, line: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        verb, help=line, epilog=f"example: gateway rollouts {verb} fraud --reason incident"
    )
    parser.add_argument("model", metavar="MODEL")
    return parser


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", metavar="FILE", help="a plan as YAML or JSON, or a route file with one")
    parser.add_argument(
        "--step",
        dest="steps",
        action="append",
        default=[],
        metavar="PERCENT:DURATION",
        help="a step such as 5:10m, or 2=5,3=10:10m of several, in place of a plan's; may be repeated",
    )
    add_policy_flags(parser)


def _add_simulation(verbs: Any) -> None:
    parser = verbs.add_parser(
        "simulate",
        help="try a plan out on paper, without a gateway",
        description="Walk a plan through seeded random traffic with the gateway's own decisions; print what happens. "
        "With --runs print how often it takes back this canary and a healthy one, and how soon; alarms are not asked.",
        epilog="example: gateway rollouts simulate --step 5:5m --step 50:10m --canary-errors 2% --rate 100",
    )
    _add_plan(parser)
    parser.add_argument(
        "--canary-errors",
        action="append",
        metavar="PERCENT",
        help="how often it fails (default 0.1%%); may be repeated, and each is a canary, version 2, 3 …",
    )
    parser.add_argument("--baseline-errors", default="0.1%", metavar="PERCENT", help="the same (default 0.1%%)")
    parser.add_argument("--rate", type=int, default=100, metavar="N", help="requests per second (default 100)")
    parser.add_argument("--counters", metavar="FILE", help="recorded traffic as CSV, in place of rate and errors")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="so many, summed up (default 1, told in full)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another course of events (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    if args.verb == "simulate":
        from gateway.cli import rollout_simulation

        return rollout_simulation.run(args, read_plan_flags(args))
    if args.verb == "status":
        from gateway.cli import rollout_status

        return rollout_status.run(args)
    if args.verb == "list":
        from gateway.cli import rollout_list

        return rollout_list.run(args)
    return _start(args) if args.verb == "start" else _move(args)


def read_plan_flags(args: argparse.Namespace) -> Mapping[str, Any]:
    """Return the plan that --plan, --step and --policy write, empty without. Raises CommandMisused or CommandFailed."""
    plan = dict(_plan_of(args.plan)) if args.plan else {}
    if args.steps:
        plan["steps"] = _steps(args.steps)
        plan.pop("policy", None)
    return with_policy(args, plan)


def _steps(words: Sequence[str]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    for word in words:
        weight, colon, duration = word.partition(":")
        if not (weight and colon and duration):
            raise CommandMisused(f"{word!r} is not PERCENT:DURATION; write such as 5:10m")
        steps.append({"weight": _weight(weight) if "=" in weight else weight, "for": duration})
    return steps


def _weight(words: str) -> dict[str, str]:
    """Return what ``2=5,3=10`` gives to whom. Raises CommandMisused."""
    pairs = [word.partition("=") for word in words.split(",")]
    weights = {version.strip(): percent.strip() for version, _, percent in pairs}
    if not all(percent for percent in weights.values()) or len(weights) < len(pairs):
        raise CommandMisused(f"{words!r} gives no weights; write each candidate once, such as 2=5,3=10")
    return weights


def _plan_of(name: str) -> Mapping[str, Any]:
    from pathlib import Path

    from gateway.strict_yaml import read_document

    try:
        data = read_document(Path(name).read_bytes())
    except OSError as exc:
        raise CommandMisused(f"the plan {name!r} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise CommandFailed(f"{name}: {exc}") from exc
    found = data.get("rollout", data) if isinstance(data, dict) else None
    if not isinstance(found, dict) or not {"steps", "policy"} & found.keys():
        said = "write a mapping with steps or a policy, or a route with the member rollout"
        raise CommandFailed(f"{name} holds no plan; {said}")
    return found


def _start(args: argparse.Namespace) -> int:
    switches = {name: True for name in ("supersede", "force", "dry_run") if getattr(args, name)}
    several = len(args.candidates) > 1
    who = {"candidates": args.candidates} if several else {"candidate": args.candidates[0]}
    body = {**who, "reason": args.reason, **switches, **read_plan_flags(args)}
    answer = connect(args).send("POST", args.model, "rollouts", body=body, match=_match(args))
    for warning in answer.data["warnings"]:
        say(f"warning: {warning}")
    if args.dry_run and not args.json:
        from gateway.cli.rollout_list import show_plan

        return show_plan(answer.data)
    return _tell(args, answer.data)


def _move(args: argparse.Namespace) -> int:
    switches = {name: True for name in ("force", "full") if getattr(args, name, False)}
    chosen = getattr(args, "version", None)
    body = {"reason": args.reason, **switches} | ({"version": chosen} if chosen else {})
    answer = connect(args).send("POST", args.model, "rollouts", "current", args.verb, body=body, match=_match(args))
    return _tell(args, answer.data)


def _match(args: argparse.Namespace) -> str:
    return "*" if args.if_match is None else f'"{args.if_match}"'


def _tell(args: argparse.Namespace, data: Mapping[str, Any]) -> int:
    if args.json:
        print_json(data)
    else:
        where = phase(data)
        print(f"{plain(data['model'])} version {live(data)} is {where}, at revision {data['revision']}")
    return 0


def live(data: Mapping[str, Any]) -> str:
    """Return the candidates that are in a rollout, or were when it ended."""
    found = [each["version"] for each in data["candidates"] if each["state"] == "live"]
    return ", ".join(found or [each["version"] for each in data["candidates"]])


def phase(data: Mapping[str, Any]) -> str:
    """Return where a rollout stands, in a few words."""
    step = f" {data['step']} of {data['steps']}" if data["step"] else ""
    origin = f" in {data['origin']}{step}" if data["origin"] else step
    gate = "waiting for a choice: promote --version" if data["must_choose"] else "waiting for approval"
    return f"{data['phase']}{origin}" + (f", {gate}" if data["gate"] else "")
