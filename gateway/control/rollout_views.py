"""What the admin API shows of rollouts, as plain JSON values. Pure; versions are text, and steps count from 1."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from gateway.control.rollout_status import what_may_shorten
from gateway.core.phases import ENDED, Phase
from gateway.core.splits import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.control.rollout_status import Assessed
    from gateway.core.alarms import Standing
    from gateway.core.document import RouteDocument
    from gateway.core.rollout import Rollout
    from gateway.ports import WorkerReport

COUNTED: Final = ("n", "failed", "error", "invalid", "assigned", "poison", "unconfirmed", "deaths")
"""The kinds of counts that are shown for both arms."""


def rollout_brief(rollout: Rollout) -> dict[str, Any]:
    """Return which rollout it is and where it stands. *origin* is what a stopped one goes on from, else null."""
    return {
        "id": rollout.id,
        "phase": rollout.phase.value,
        "origin": rollout.origin.value if rollout.origin else None,
        "step": rollout.step + 1 if rollout.goal is Phase.STEP else None,
        "steps": len(rollout.plan.steps),
        "candidate": str(rollout.candidate),
        "baseline": str(rollout.baseline),
        "gate": rollout.gate,
        "reason": rollout.reason,
    }


def rollout_view(
    model: str, revision: int, document: RouteDocument, assessment: Assessed, reports: Sequence[WorkerReport]
) -> dict[str, Any]:
    """Return all that is known of a rollout. Times are seconds; *eta_seconds* is null where no end is in sight."""
    rollout = assessment.rollout
    arms = (rollout.candidate, rollout.baseline)
    return {
        "model": model,
        **rollout_brief(rollout),
        "is_over": rollout.phase in ENDED,
        "revision": revision,
        "split": written(document.split),
        "verdict": assessment.verdict.as_dict(),
        "alarms": [alarm_view(each) for each in assessment.alarms],
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


def alarm_view(standing: Standing) -> dict[str, Any]:
    """Return where an alarm stands; *value* and *age_seconds* are null where there was no answer yet."""
    value = standing.value
    return {
        "name": standing.alarm.name,
        "state": standing.state.value,
        "then": standing.alarm.then,
        "text": standing.text,
        "value": value if value is None or isfinite(value) else str(value),
        "age_seconds": _rounded(standing.age_seconds),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
