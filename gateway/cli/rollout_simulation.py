"""``gateway rollouts simulate``: what a plan would do under traffic of which the failure rates are known.

The decisions are the gateway's own; only the traffic is made up, from a seed and from failure rates that were given or
recorded, so the same words print the same story.
"""

from __future__ import annotations

from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandMisused
from gateway.cli.output import plain, print_json, print_table, say, weights
from gateway.cli.rollout_traffic import MOST_REQUESTS, Constant, Load, read_recording
from gateway.core.evidence import Counter, Evidence
from gateway.core.judgement import judge
from gateway.core.phases import ENDED, LIVE, Event, Phase
from gateway.core.plan import read_plan
from gateway.core.quantities import percent_of
from gateway.core.rollout import move, start
from gateway.core.slots import SLOTS, seats
from gateway.core.splits import written
from gateway.core.steering import Snapshot, Wait, next_action
from gateway.core.verdicts import Kind

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.cli.rollout_traffic import Traffic
    from gateway.core.plan import Plan
    from gateway.core.rollout import Change, Rollout
    from gateway.core.verdicts import Verdict

BASELINE: Final = 1
FIRST_CANARY: Final = 2
USUAL: Final = "0.1%"
MOST_RUNS: Final = 10_000
LOOK_SECONDS: Final = 1
HELD_LOOK_SECONDS: Final = 10
"""How often a rollout that stands still is looked at."""
PATIENCE_SECONDS: Final = 4 * 3600
"""A rollout that ends later than this is shown as far as it came."""


class Simulation:
    """One rollout under made-up *traffic*, of which each version fails its part."""

    def __init__(self, plan: Plan, traffic: Traffic, seed: int) -> None:
        self._load = traffic
        self._random = Random(seed)
        load = traffic.at(0)
        canaries = tuple(range(FIRST_CANARY, FIRST_CANARY + len(load.canary_errors)))
        split = MappingProxyType({BASELINE: 100, **dict.fromkeys(canaries, 0)})
        self.rollout: Rollout = start(
            "simulated", candidates=canaries, baseline=BASELINE, plan=plan, before=split,
            baseline_rate=load.baseline_errors, now=0.0,
        )  # fmt: skip
        self.split: Mapping[int, int] = split
        self.revision = 1
        self.evidence = Evidence({}, {})
        self.story: list[dict[str, Any]] = []
        self.blamed: tuple[float, int] | None = None
        """When the first canary was taken back, in seconds, and after how many requests of its own; None for never."""

    def run(self) -> None:
        """Walk until the rollout ends, or for PATIENCE_SECONDS."""
        for now in range(0, PATIENCE_SECONDS, LOOK_SECONDS):
            if self.rollout.phase in ENDED:
                return
            has_failed = False
            if self.rollout.phase in LIVE:
                counts = self._traffic(self._load.at(now))
                self.evidence = self.evidence.plus(counts)
                has_failed = any(counts[Counter(self.revision, each, "failed")] for each in self.rollout.live)
            if has_failed or self._is_due(now):
                self._look(float(now))

    def _is_due(self, now: int) -> bool:
        """Say whether a look may find something though no canary failed: time alone condemns nobody."""
        rollout = self.rollout
        if rollout.phase in {Phase.STEP, Phase.BAKE}:
            return rollout.time(now) - rollout.entered >= rollout.goal_seconds()
        return rollout.phase not in {Phase.HOLD, Phase.PAUSED} or now % HELD_LOOK_SECONDS == 0

    def _look(self, now: float) -> None:
        """Act as worker and controller would, and as an operator who has to choose."""
        rollout = self.rollout
        verdict = judge(self.evidence, rollout)
        if rollout.gate and rollout.must_choose and verdict.kind is not Kind.FAIL:
            best = min(rollout.live, key=self._failure_rate)
            reason = f"version {best} failed least and is promoted, as an operator may choose"
            change = move(rollout, Event.PROMOTE, now=now, revision=self.revision, reason=reason, version=best)
            self._take(change, now, verdict, reason)
            return
        action = next_action(Snapshot(rollout, self.revision, is_ready=True), verdict, now)
        if not isinstance(action, Wait):
            self._take(action.change, now, verdict, action.reason)

    def _take(self, change: Change, now: float, verdict: Verdict, reason: str) -> None:
        self.rollout, self.revision = change.rollout, self.revision + 1
        self.split = change.of(self.split)
        if change.failed and self.blamed is None:
            self.blamed = now, min(self.evidence.total(version, "n") for version in change.failed)
        if self.rollout.phase in LIVE:
            shares = {**self.evidence.slots, self.revision: seats(self.split)}
            self.evidence = Evidence(self.evidence.counts, shares)
        self._note(now, verdict, reason)

    def _failure_rate(self, version: int) -> float:
        return self.evidence.total(version, "failed") / max(1, self.evidence.total(version, "n"))

    def _traffic(self, load: Load) -> dict[Counter, int]:
        """Return what one second's requests count."""
        slots = seats(self.split)
        left, room = load.rate, SLOTS
        counts: dict[Counter, int] = {}
        arms = (*zip(self.rollout.candidates, load.canary_errors, strict=True), (BASELINE, load.baseline_errors))
        for version, errors in arms:
            share = slots.get(version, 0)
            requests = self._draws(left, share / room if room else 0.0)
            left, room = left - requests, room - share
            failed = self._draws(requests, errors)
            for kind, count in (("assigned", requests), ("n", requests), ("failed", failed), ("error", failed)):
                counts[Counter(self.revision, version, kind)] = count
        return counts

    def _draws(self, count: int, chance: float) -> int:
        if not 0 < chance < 1:
            return count if chance else 0
        return sum(self._random.random() < chance for _ in range(count))

    def _note(self, now: float, verdict: Verdict, reason: str) -> None:
        self.story.append(
            {
                "seconds": now,
                "phase": self.rollout.phase.value,
                "step": self.rollout.step + 1,
                "split": written(self.split),
                "verdict": verdict.kind.value,
                "requests": verdict.certificate.requests,
                "failed": verdict.certificate.failed,
                "reason": reason,
            }
        )


def run(args: argparse.Namespace, data: Mapping[str, Any]) -> int:
    """Print the story and return 0, or 1 where the rollout did not succeed."""
    if not data:
        raise CommandMisused("there is no plan to simulate; write --plan FILE, or --step 5:10m")
    if not 1 <= args.runs <= MOST_RUNS:
        raise CommandMisused(f"--runs {args.runs} cannot be simulated; write 1 to {MOST_RUNS}")
    traffic, plan = _traffic_of(args), read_plan(data)
    for warning in plan.warnings():
        say(f"warning: {warning}")
    if args.runs > 1:
        from gateway.cli import rollout_statistics

        return rollout_statistics.run(plan, traffic, seed=args.seed, runs=args.runs, as_json=args.json)
    simulation = Simulation(plan, traffic, args.seed)
    simulation.run()
    if args.json:
        print_json({"phase": simulation.rollout.phase.value, "story": simulation.story})
    else:
        _show(simulation)
    return 0 if simulation.rollout.phase.value == "succeeded" else 1


def _traffic_of(args: argparse.Namespace) -> Traffic:
    if args.counters:
        return read_recording(args.counters)
    if not 1 <= args.rate <= MOST_REQUESTS:
        raise CommandMisused(f"--rate {args.rate} cannot be simulated; write 1 to {MOST_REQUESTS} requests a second")
    canaries = tuple(map(_percent, args.canary_errors or [USUAL]))
    return Constant(Load(args.rate, _percent(args.baseline_errors), canaries))


def _percent(text: str) -> float:
    return percent_of(text, least=0.0, most=1.0)


def _show(simulation: Simulation) -> None:
    rows = [
        (f"{each['seconds']:.0f} s", each["phase"], weights(each["split"]), each["verdict"], each["requests"],
         each["failed"], plain(each["reason"]))
        for each in simulation.story
    ]  # fmt: skip
    print_table(("AT", "PHASE", "SPLIT", "VERDICT", "REQUESTS", "FAILED", "REASON"), rows)
    if simulation.rollout.phase not in ENDED:
        say(f"after {PATIENCE_SECONDS // 3600} h it is still {simulation.rollout.phase}")
