"""The verdict on a rollout: each candidate is compared with the baseline, and with nothing else.

The events of the others are ignored, and a candidate has its own odds, so each comparison is that of a rollout of one.
Of m candidates each has an m-th of alpha: the chance that any healthy one is taken back stays the plan's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.core.analysis import assess
from gateway.core.evidence import Arms
from gateway.core.verdicts import together

if TYPE_CHECKING:
    from gateway.core.evidence import Evidence
    from gateway.core.rollout import Rollout
    from gateway.core.verdicts import Verdict


def judge(evidence: Evidence, rollout: Rollout) -> Verdict:
    """Return what the guards of *rollout* say of all candidates that are in it, from totals alone."""
    return together([judge_one(evidence, rollout, version) for version in rollout.live])


def judge_one(
    evidence: Evidence, rollout: Rollout, candidate: int, *, share_of_alpha: float = 1.0, tripped: bool = False
) -> Verdict:
    """Return what the guards of *rollout* say of one *candidate*, which the reasons name where there are several.

    share_of_alpha: the part of the candidate's alpha that may be spent here. tripped: its breaker had three bad probes.
    """
    verdict = assess(
        evidence,
        rollout.plan,
        Arms(candidate, rollout.baseline),
        certify=rollout.certify,
        alpha=rollout.alpha * share_of_alpha,
        since=rollout.since,
        tripped=tripped,
    )
    if len(rollout.candidates) == 1:
        return verdict
    named = (replace(reason, text=f"version {candidate}: {reason.text}") for reason in verdict.reasons)
    return replace(verdict, reasons=tuple(named))
