"""``gateway rollouts list`` and the plan that ``gateway rollouts start --dry-run`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.client import connect
from gateway.cli.output import plain, print_json, print_table, weights
from gateway.cli.rollouts import live, phase

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping


def run(args: argparse.Namespace) -> int:
    """Print the last rollout of every model that had one, and return the exit code."""
    models = [each for each in connect(args).get().data["models"] if each["rollout"]]
    if args.json:
        print_json([{"model": each["name"], "revision": each["revision"], **each["rollout"]} for each in models])
        return 0
    rows = []
    for each in models:
        rollout, route = each["rollout"], each["route"]
        split = weights(route["split"]) if route else None
        rows.append((plain(each["name"]), live(rollout), rollout["baseline"], phase(rollout), split,
                     plain(rollout["reason"])))  # fmt: skip
    print_table(("MODEL", "CANDIDATE", "BASELINE", "PHASE", "SPLIT", "BECAUSE"), rows)
    return 0


def show_plan(data: Mapping[str, Any]) -> int:
    """Print what a start would do, *data* being the answer to a dry run, and return the exit code."""
    print(f"{plain(data['model'])} version {live(data)} would go, and nothing was started:")
    print_table(("PHASE", "WEIGHT", "FOR", "THEN"), list(_stages(data["plan"])))
    return 0


def _stages(plan: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    yield "preflight", 0, None, "loaded and warm on every worker"
    if "shadow" in plan:
        yield "shadow", 0, plan["shadow"]["for"], f"copies of {plan['shadow']['share']} of the requests"
    for number, step in enumerate(plan["steps"], start=1):
        then = "waits for approval" if "approve" in step else None
        yield f"step {number}", _weight(step["weight"]), step["for"], then
    yield "bake", plan["holdback"]["weight"], plan["holdback"]["for"], "all traffic, and it is the baseline"
    for alarm in plan.get("alarms", ()):
        yield "alarm", None, alarm["for"], f"{alarm['name']}: {alarm['then']}"


def _weight(weight: object) -> object:
    """Return a step's weight: of each candidate one number, or who has what."""
    return weights(weight) if isinstance(weight, dict) else weight
