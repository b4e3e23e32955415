"""What the admin API shows of rollouts, as plain JSON values. Pure; versions are text, and steps count from 1."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from gateway.control.rollout_status import what_may_shorten
from gateway.core.latency import FROZEN_FROM, ROWS, SLOW
from gateway.core.phases import ENDED, Phase
from gateway.core.splits import written
from gateway.core.versions import VersionState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.control.fleet import FleetVersion
    from gateway.control.rollout_status import Assessed
    from gateway.core.alarms import Standing
    from gateway.core.document import RouteDocument
    from gateway.core.evidence import Evidence
    from gateway.core.readiness import Readiness
    from gateway.core.rollout import Rollout
    from gateway.ports.workers import WorkerReport

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
    model: str,
    document: RouteDocument,
    assessment: Assessed,
    reports: Sequence[WorkerReport],
    readiness: Readiness,
    fleet: Mapping[int, FleetVersion],
) -> dict[str, Any]:
    """Return all that is known of a rollout. Times are seconds; *eta_seconds* is null where no end is in sight.

    *readiness* is what the replicas say of the canaries, at the route's revision, *fleet* the versions on this one.
    """
    revision = readiness.revision
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
        "alarms": [alarm_view(each) for each in assessment.alarms],
        "counts": {str(version): {kind: assessment.evidence.total(version, kind) for kind in COUNTED}
                   for version in arms},
        "seconds_in_phase": round(assessment.seconds_in_goal, 1),
        "seconds_left": _rounded(assessment.seconds_left),
        "eta_seconds": _rounded(assessment.eta_seconds),
        "hint": what_may_shorten(assessment, document),
        "waits_for": "; ".join(readiness.failed.values()) or readiness.lacks or None,
        "latency": latency_view(rollout, assessment.evidence),
        "kept": kept_view(rollout, assessment.now, fleet),
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


def latency_view(rollout: Rollout, evidence: Evidence) -> dict[str, Any]:
    """Return the limits that runs are held against, per class of rows, and how many runs of each version exceeded them.

    *seconds* bound 50, 90 and 99 % of the baseline's runs and are null until those are enough; past *most_seconds* a
    run has failed. Slow runs are counted over all classes: each is compared within its own.
    """
    bounds = rollout.bounds(rollout.baseline)
    rows = [
        {
            "rows": ROWS[index],
            "baseline_runs": sum(runs),
            "runs_needed": FROZEN_FROM,
            "seconds": list(bound.slow) if bound else None,
            "most_seconds": bound.most if bound else None,
        }
        for index, (bound, runs) in enumerate(zip(bounds, evidence.run_times(rollout.baseline), strict=True))
        if bound or any(runs)
    ]
    slow = {str(version): {kind: evidence.total(version, kind) for kind in SLOW}
            for version in (*rollout.candidates, rollout.baseline)}  # fmt: skip
    return {"limits": rows, "slow_runs": slow}


def kept_view(rollout: Rollout, now: float, fleet: Mapping[int, FleetVersion]) -> dict[str, Any] | None:
    """Return which replaced version is still loaded and for how long, None where there is none or it has gone."""
    kept = rollout.kept()
    if kept is None or now >= kept.until:
        return None
    found = fleet.get(kept.version)
    if found is None or found.state not in {VersionState.READY, VersionState.LOADING}:
        return None
    return {"version": str(kept.version), "seconds_left": round(kept.until - now, 1)}


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
