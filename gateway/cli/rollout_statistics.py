"""``gateway rollouts simulate --runs``: how often a plan takes a canary back, and how soon.

Each run has a seed of its own. Beside the canaries that were asked for, as many that are as good as the baseline walk
the same plan through the same traffic: what is taken back of those is taken back falsely.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gateway.cli.output import print_json, print_table
from gateway.cli.rollout_simulation import Simulation
from gateway.core.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.cli.rollout_traffic import Traffic
    from gateway.core.plan import Plan


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of *runs* rollouts.

    took_back: those in which a canary was taken back, of several at least one. Of those, until the first was: seconds
    since the first step, and its requests, as (half of them, 95 % of them); None where there are none.
    """

    runs: int
    succeeded: int
    rolled_back: int
    took_back: int
    seconds: tuple[float, float] | None
    requests: tuple[float, float] | None


def run(plan: Plan, traffic: Traffic, *, seed: int, runs: int, as_json: bool) -> int:
    """Print both summaries and return 0."""
    given = summary(plan, traffic, seed=seed, runs=runs)
    healthy = summary(plan, traffic.healthy(), seed=seed, runs=runs)
    if as_json:
        print_json(
            {"given": asdict(given), "healthy": asdict(healthy), "false_rollback_ratio": healthy.took_back / runs}
        )
        return 0
    titles = ("CANARY", "RUNS", "SUCCEEDED", "ROLLED BACK", "NEITHER", "SECONDS, HALF/95 %", "ITS REQUESTS, HALF/95 %")
    print_table(titles, [_row("as given", given), _row("healthy", healthy)])
    several = len(traffic.at(0).canary_errors)
    what = "healthy canaries" if several == 1 else f"rollouts of {several} healthy canaries"
    print(f"false rollbacks: {healthy.took_back} of {runs} {what}, {healthy.took_back / runs:.1%}")
    return 0


def summary(plan: Plan, traffic: Traffic, *, seed: int, runs: int) -> Summary:
    """Return what becomes of *runs* rollouts with the seeds from *seed* on."""
    succeeded = rolled_back = 0
    seconds: list[float] = []
    requests: list[float] = []
    for number in range(seed, seed + runs):
        simulation = Simulation(plan, traffic, number)
        simulation.run()
        succeeded += simulation.rollout.phase is Phase.SUCCEEDED
        rolled_back += simulation.rollout.phase is Phase.ROLLED_BACK
        if simulation.blamed is not None:
            when, its_requests = simulation.blamed
            began = next((each["seconds"] for each in simulation.story if each["phase"] == Phase.STEP.value), when)
            seconds.append(when - began)
            requests.append(its_requests)
    return Summary(runs, succeeded, rolled_back, len(seconds), _quantiles(seconds), _quantiles(requests))


def _quantiles(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the least value that half of *values*, and that 95 % of them, do not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    half, most = (ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 95))
    return half, most


def _row(name: str, found: Summary) -> tuple[Any, ...]:
    seconds, requests = (
        values and "/".join(f"{each:.0f}" for each in values) for values in (found.seconds, found.requests)
    )
    neither = found.runs - found.succeeded - found.rolled_back
    return name, found.runs, found.succeeded, found.rolled_back, neither, seconds, requests
