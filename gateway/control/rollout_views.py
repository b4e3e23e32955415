"""What the admin API shows of rollouts, as plain JSON values. Pure; versions are text, and steps count from 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.control.rollout_status import what_may_shorten
from gateway.core.phases import ENDED, Phase
from gateway.core.splits import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.control.rollout_status import Assessed
    from gateway.core.document import RouteDocument
    from gateway.core.rollout import Rollout
    from gateway.ports import WorkerReport

COUNTED: Final = ("n", "failed", "error", "invalid", "assigned", "poison", "unconfirmed", "deaths")
"""The kinds of counts that are shown for each arm."""


def rollout_brief(rollout: Rollout) -> dict[str, Any]:
    """Return which rollout it is and where it stands. *origin* is what a stopped one goes on from, else null.

    *candidate* is null while several are in it; *candidates* says of each whether it is live, failed or passed_over.
    """
    return {
        "id": rollout.id,
        "phase": rollout.phase.value,
        "origin": rollout.origin.value if rollout.origin else None,
        "step": rollout.step + 1 if rollout.goal is Phase.STEP else None,
        "steps": len(rollout.plan.steps),
        "candidate": str(rollout.candidate) if rollout.candidate is not None else None,
        "candidates": [_candidate(rollout, version) for version in rollout.candidates],
        "baseline": str(rollout.baseline),
        "gate": rollout.gate,
        "must_choose": rollout.gate and rollout.must_choose,
        "reason": rollout.reason,
    }


def rollout_view(
    model: str, revision: int, document: RouteDocument, assessment: Assessed, reports: Sequence[WorkerReport]
) -> dict[str, Any]:
    """Return all that is known of a rollout. Times are seconds; *eta_seconds* is null where no end is in sight."""
    rollout, verdict = assessment.rollout, assessment.verdict
    arms = (*rollout.candidates, rollout.baseline)
    return {
        "model": model,
        **rollout_brief(rollout),
        "is_over": rollout.phase in ENDED,
        "revision": revision,
        "split": written(document.split),
        "verdict": verdict.as_dict(),
        "verdicts": {str(version): each.as_dict()
                     for version, each in zip(rollout.live, verdict.each or (verdict,), strict=True)},
        "counts": {str(version): {kind: assessment.evidence.total(version, kind) for kind in COUNTED}
                   for version in arms},
        "seconds_in_phase": round(assessment.seconds_in_goal, 1),
        "seconds_left": _rounded(assessment.seconds_left),
        "eta_seconds": _rounded(assessment.eta_seconds),
        "hint": what_may_shorten(assessment, document),
        "workers": {
            "following": sum(report.revisions.get(model, 0) >= revision for report in reports),
            "total": len(reports),
        },
        "started_at_ms": round(rollout.started * 1000),
        "away_seconds": rollout.away_seconds,
        "certify": rollout.certify,
        "before": written(rollout.before),
        "plan": rollout.plan.as_dict(),
        "warnings": list(rollout.plan.warnings()),
    }  # fmt: skip


def _candidate(rollout: Rollout, version: int) -> dict[str, str]:
    left = rollout.left.get(version)
    if left is not None:
        return {"version": str(version), "state": "failed" if left.failed else "passed_over", "reason": left.reason}
    if rollout.phase is Phase.ROLLED_BACK:
        return {"version": str(version), "state": "failed", "reason": rollout.reason}
    return {"version": str(version), "state": "live", "reason": ""}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
