"""What is known of a rollout at one moment: its totals, the verdict on them, and how long it may still take.

The controller acts on it and the admin API shows it, so both see the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gateway.core.alarms import gated
from gateway.core.drift_plan import held
from gateway.core.evidence import read_evidence
from gateway.core.judgement import judge
from gateway.core.phases import ENDED, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.alarms import Standing
    from gateway.core.document import RouteDocument
    from gateway.core.drift import ColumnFinding
    from gateway.core.drift_plan import DriftPlan
    from gateway.core.evidence import Evidence
    from gateway.core.rollout import Rollout
    from gateway.core.verdicts import Verdict
    from gateway.ports.evidence import EvidenceStore

LARGER_SHARE: Final = 0.5
"""The share of the traffic, a fraction of one, at which both versions are compared soonest."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """A rollout with what its evidence and its *alarms* say at *now*, seconds of the store's clock.

    The alarms are known to the process that leads the rollout, and to no other.
    """

    rollout: Rollout
    evidence: Evidence
    verdict: Verdict
    now: float
    alarms: Sequence[Standing] = ()

    def with_alarms(self, alarms: Sequence[Standing]) -> Assessed:
        """Return the same with what *alarms* say of it, in its verdict too."""
        has_traffic = self.rollout.goal in {Phase.STEP, Phase.BAKE}
        return replace(self, verdict=gated(self.verdict, alarms, has_traffic=has_traffic), alarms=alarms)

    def with_drift(self, plan: DriftPlan, found: Mapping[int, Sequence[ColumnFinding]]) -> Assessed:
        """Return the same, held where the *plan* of its route wants that and a version of it drifted."""
        return replace(self, verdict=held(self.verdict, self.rollout, plan, found))

    @property
    def seconds_in_goal(self) -> float:
        """How long the current phase or step has been pursued, without the time that the store was away."""
        return max(0.0, self.rollout.time(self.now) - self.rollout.entered)

    @property
    def seconds_left(self) -> float | None:
        """How long the current phase or step has to be watched still; None where that is not a matter of time."""
        if self.rollout.phase in ENDED or not self.rollout.goal_seconds():
            return None
        return max(0.0, self.rollout.goal_seconds() - self.seconds_in_goal)

    @property
    def eta_seconds(self) -> float | None:
        """When the current phase or step may end if traffic and failures go on as they are; None if that is not seen.

        The later of its time and of the evidence, at the canary's rate of requests since the phase or step began; of
        several canaries the one with the fewest.
        """
        left, evidence = self.seconds_left, self.evidence_seconds
        if left is None or evidence is None or self.rollout.phase is Phase.PAUSED:
            return None
        return max(left, evidence)

    @property
    def evidence_seconds(self) -> float | None:
        """When there may be enough evidence, at the canary's rate of requests in this goal; None if that is not seen.

        0 where there is enough.
        """
        needed = self.verdict.requests_to_decision
        if not needed:
            return None if needed is None else 0.0
        rollout, total = self.rollout, self.evidence.total
        seen = min(total(candidate, "n", since=rollout.since) for candidate in rollout.live)
        return needed * self.seconds_in_goal / seen if seen and self.seconds_in_goal else None


async def assessed(store: EvidenceStore, model: str, rollout: Rollout) -> Assessed:
    """Return what the totals of *rollout* say now.

    Raises StoreUnavailable, and InvalidDocument or CorruptRoute for evidence that cannot be read: nothing is judged
    by half of it.
    """
    evidence = read_evidence(await store.totals(model, rollout.id))
    return Assessed(rollout, evidence, judge(evidence, rollout), await store.now())


def what_may_shorten(assessment: Assessed, document: RouteDocument) -> str:
    """Return what would bring a decision sooner, for somebody who waits for one; empty where nothing does.

    Where the canary's traffic is known, a larger step comes with the time that its evidence would take.
    """
    rollout = assessment.rollout
    if rollout.goal is not Phase.STEP or rollout.phase in ENDED or assessment.verdict.certificate.stands:
        return ""
    share = sum(document.split.get(candidate, 0) for candidate in rollout.live) / sum(document.split.values())
    ways = [_larger_step(assessment, share)] if share < LARGER_SHARE else []
    if rollout.plan.shadow is None:
        ways.append("a shadow phase before the first step")
    return " or ".join(ways)


def _larger_step(assessment: Assessed, share: float) -> str:
    """Return what a step of LARGER_SHARE would do for canaries that have *share* of the traffic, a fraction of one."""
    seconds = assessment.evidence_seconds
    if not seconds or not share:
        return "a larger step"
    several = " together" if len(assessment.rollout.live) > 1 else ""
    soon = f"enough evidence in about {seconds * share / LARGER_SHARE:.0f} s"
    return f"a larger step ({LARGER_SHARE:.0%}{several}: {soon})"
