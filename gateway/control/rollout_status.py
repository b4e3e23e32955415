"""What is known of a rollout at one moment: its totals, the verdict on them, and how long it may still take.

The controller acts on it and the admin API shows it, so both see the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.core.evidence import read_evidence
from gateway.core.judgement import judge
from gateway.core.phases import ENDED, Phase
from gateway.core.versions import VersionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.control.fleet import FleetVersion
    from gateway.core.document import RouteDocument
    from gateway.core.evidence import Evidence
    from gateway.core.rollout import Rollout
    from gateway.core.verdicts import Verdict
    from gateway.ports import EvidenceStore, WorkerReport


@dataclass(frozen=True, slots=True)
class Assessed:
    """A rollout with what its evidence says at *now*, seconds of the store's clock."""

    rollout: Rollout
    evidence: Evidence
    verdict: Verdict
    now: float

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
        left, needed = self.seconds_left, self.verdict.requests_to_decision
        if left is None or self.rollout.phase is Phase.PAUSED:
            return None
        if not needed:
            return left if needed == 0 else None
        rollout, total = self.rollout, self.evidence.total
        seen = min(total(candidate, "n", since=rollout.since) for candidate in rollout.live)
        if not seen or not self.seconds_in_goal:
            return None
        return max(left, needed * self.seconds_in_goal / seen)


async def assessed(store: EvidenceStore, model: str, rollout: Rollout) -> Assessed:
    """Return what the totals of *rollout* say now.

    Raises StoreUnavailable, and InvalidDocument or CorruptRoute for evidence that cannot be read: nothing is judged
    by half of it.
    """
    evidence = read_evidence(await store.totals(model, rollout.id))
    return Assessed(rollout, evidence, judge(evidence, rollout), await store.now())


def are_canaries_ready(
    candidates: Iterable[FleetVersion | None], model: str, revision: int, reports: Sequence[WorkerReport]
) -> bool:
    """Say whether every live worker of this replica has each canary READY and follows the route's *revision*."""
    if any(candidate is None or candidate.state is not VersionState.READY for candidate in candidates):
        return False
    return bool(reports) and all(report.revisions.get(model, 0) >= revision for report in reports)


def what_may_shorten(assessment: Assessed, document: RouteDocument) -> str:
    """Return what would bring a decision sooner, for somebody who waits for one; empty where nothing does."""
    rollout = assessment.rollout
    if rollout.goal is not Phase.STEP or rollout.phase in ENDED or assessment.verdict.certificate.stands:
        return ""
    share = sum(document.split.get(candidate, 0) for candidate in rollout.live) / sum(document.split.values())
    ways = ["a larger step"] if share < 0.5 else []
    if rollout.plan.shadow is None:
        ways.append("a shadow phase before the first step")
    return " or ".join(ways)
