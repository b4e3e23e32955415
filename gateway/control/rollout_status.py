"""What is known of a rollout at one moment: its totals, the verdict on them, and how long it may still take.

The controller acts on it and the admin API shows it, so both see the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.core.alarms import gated
from gateway.core.analysis import assess
from gateway.core.evidence import read_evidence
from gateway.core.phases import ENDED, Phase
from gateway.core.versions import VersionState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.control.fleet import FleetVersion
    from gateway.core.alarms import Standing
    from gateway.core.document import RouteDocument
    from gateway.core.evidence import Evidence
    from gateway.core.rollout import Rollout
    from gateway.core.verdicts import Verdict
    from gateway.ports import EvidenceStore, WorkerReport


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

        The later of its time and of the evidence, at the canary's rate of requests since the phase or step began.
        """
        left, needed = self.seconds_left, self.verdict.requests_to_decision
        if left is None or self.rollout.phase is Phase.PAUSED:
            return None
        if not needed:
            return left if needed == 0 else None
        seen = self.evidence.total(self.rollout.candidate, "n", since=self.rollout.since)
        if not seen or not self.seconds_in_goal:
            return None
        return max(left, needed * self.seconds_in_goal / seen)


async def assessed(store: EvidenceStore, model: str, rollout: Rollout) -> Assessed:
    """Return what the totals of *rollout* say now.

    Raises StoreUnavailable, and InvalidDocument or CorruptRoute for evidence that cannot be read: nothing is judged
    by half of it.
    """
    evidence = read_evidence(await store.totals(model, rollout.id))
    verdict = assess(evidence, rollout.plan, rollout.arms, certify=rollout.certify, since=rollout.since)
    return Assessed(rollout, evidence, verdict, await store.now())


def is_canary_ready(candidate: FleetVersion | None, model: str, revision: int, reports: Sequence[WorkerReport]) -> bool:
    """Say whether every live worker of this replica has the canary READY and follows the route's *revision*."""
    if candidate is None or candidate.state is not VersionState.READY:
        return False
    return bool(reports) and all(report.revisions.get(model, 0) >= revision for report in reports)


def what_may_shorten(assessment: Assessed, document: RouteDocument) -> str:
    """Return what would bring a decision sooner, for somebody who waits for one; empty where nothing does."""
    rollout = assessment.rollout
    if rollout.goal is not Phase.STEP or rollout.phase in ENDED or assessment.verdict.certificate.stands:
        return ""
    share = document.split.get(rollout.candidate, 0) / sum(document.split.values())
    ways = ["a larger step"] if share < 0.5 else []
    if rollout.plan.shadow is None:
        ways.append("a shadow phase before the first step")
    return " or ".join(ways)
