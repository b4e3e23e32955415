"""``gateway rollouts simulate``: what a plan would do under traffic of which the failure rates are known.

The decisions are the gateway's own; only the traffic is made up, from a seed, so the same words print the same story.
"""

from __future__ import annotations

from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandMisused
from gateway.cli.output import plain, print_json, print_table, say, weights
from gateway.core.evidence import Counter, Evidence
from gateway.core.judgement import judge
from gateway.core.phases import ENDED, LIVE, Event
from gateway.core.plan import read_plan
from gateway.core.quantities import percent_of
from gateway.core.rollout import move, start
from gateway.core.slots import SLOTS, seats
from gateway.core.splits import written
from gateway.core.steering import Snapshot, Wait, next_action

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.core.plan import Plan
    from gateway.core.rollout import Change, Rollout
    from gateway.core.verdicts import Verdict

BASELINE: Final = 1
FIRST_CANARY: Final = 2
USUAL: Final = "0.1%"
MOST_REQUESTS: Final = 10_000
LOOK_SECONDS: Final = 1
PATIENCE_SECONDS: Final = 4 * 3600
"""A rollout that ends later than this is shown as far as it came."""


class Simulation:
    """One rollout under made-up traffic: *rate* requests a second, of which each version fails its part of *errors*."""

    def __init__(self, plan: Plan, errors: Mapping[int, float], rate: int, seed: int) -> None:
        self._errors = errors
        self._rate = rate
        self._random = Random(seed)
        canaries = tuple(version for version in errors if version != BASELINE)
        split = MappingProxyType({BASELINE: 100, **dict.fromkeys(canaries, 0)})
        self.rollout: Rollout = start(
            "simulated", candidates=canaries, baseline=BASELINE, plan=plan, before=split,
            baseline_rate=errors[BASELINE], now=0.0,
        )  # fmt: skip
        self.split: Mapping[int, int] = split
        self.revision = 1
        self.evidence = Evidence({}, {})
        self.story: list[dict[str, Any]] = []

    def run(self) -> None:
        """Walk until the rollout ends, or for PATIENCE_SECONDS."""
        for now in range(0, PATIENCE_SECONDS, LOOK_SECONDS):
            if self.rollout.phase in ENDED:
                return
            if self.rollout.phase in LIVE:
                self.evidence = self.evidence.plus(self._traffic())
            self._look(float(now))

    def _look(self, now: float) -> None:
        """Act as worker and controller would, and as an operator who has to choose."""
        rollout = self.rollout
        verdict = judge(self.evidence, rollout)
        if rollout.gate and rollout.must_choose:
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
        if self.rollout.phase in LIVE:
            shares = {**self.evidence.slots, self.revision: seats(self.split)}
            self.evidence = Evidence(self.evidence.counts, shares)
        self._note(now, verdict, reason)

    def _failure_rate(self, version: int) -> float:
        return self.evidence.total(version, "failed") / max(1, self.evidence.total(version, "n"))

    def _traffic(self) -> dict[Counter, int]:
        """Return what one look's worth of requests counts."""
        slots = seats(self.split)
        left, room = self._rate * LOOK_SECONDS, SLOTS
        counts: dict[Counter, int] = {}
        for version in (*self.rollout.candidates, BASELINE):
            share = slots.get(version, 0)
            requests = self._draws(left, share / room if room else 0.0)
            left, room = left - requests, room - share
            failed = self._draws(requests, self._errors[version])
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
    if not 1 <= args.rate <= MOST_REQUESTS:
        raise CommandMisused(f"--rate {args.rate} cannot be simulated; write 1 to {MOST_REQUESTS} requests a second")
    canaries = map(_percent, args.canary_errors or [USUAL])
    errors = {BASELINE: _percent(args.baseline_errors), **dict(enumerate(canaries, start=FIRST_CANARY))}
    simulation = Simulation(read_plan(data), errors, args.rate, args.seed)
    for warning in simulation.rollout.plan.warnings():
        say(f"warning: {warning}")
    simulation.run()
    if args.json:
        print_json({"phase": simulation.rollout.phase.value, "story": simulation.story})
    else:
        _show(simulation)
    return 0 if simulation.rollout.phase.value == "succeeded" else 1


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
