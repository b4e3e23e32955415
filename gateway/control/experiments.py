"""What labels and rewards say of two versions of a model: gathered from the store, judged in ``core.experiment``."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.control.optimizer import standing
from gateway.core import experiment
from gateway.core.confidence import PRIOR
from gateway.core.slots import seats
from gateway.core.splits import weights_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.control.operations import Operations
    from gateway.core.experiment import Asked
    from gateway.core.quality import Quality
    from gateway.ports.routes import AuditEntry

ENTRIES: Final = 1_000
"""How far back in the history the splits are looked for that assigned answers."""

PACES: Final = (3600.0, 24 * 3600.0)
"""How fast labels come is seen in the last hour, or where none came then, in the last day."""


async def report(operations: Operations, model: str, asked: Asked) -> dict[str, Any]:
    """Return the report as JSON values, over the fleet and all time. Raises UnknownModel, StoreUnavailable."""
    qualities = await operations.quality(model)
    assigned = await operations.assigned(model)
    history = await operations.history(model, ENTRIES)
    found = await asyncio.to_thread(experiment.compared, asked, qualities)
    paces = {metric: await _trials_per_second(operations, model, asked, metric) for metric in found}
    is_split = asked.rule == "split"
    fair = experiment.assignment_of(asked, assigned, slots_of(history)) if is_split else None
    return {
        "model": model,
        "rule": asked.rule,
        "rules": sorted({rule for each in qualities.values() for rule in each.segments}),
        "alpha": asked.alpha,
        "apart": asked.apart,
        "prior": f"Beta({PRIOR:g}, {PRIOR:g})",
        "versions": [
            _side(qualities, version, asked.rule, experiment.answers_of(assigned, version) if is_split else None)
            for version in (asked.first, asked.second)
        ],
        "metrics": {
            metric: each.as_dict() | {"seconds_to_see": _seconds(each.trials_to_see, paces[metric])}
            for metric, each in found.items()
        },
        "assignment": fair.as_dict() if fair is not None else None,
        "optimize": await standing(operations, model, time.time()),
    }


def slots_of(history: Iterable[AuditEntry]) -> Mapping[int, Mapping[int, int]]:
    """Return revision → version → slots, of the routes in *history* that assign every request by itself."""
    found = {}
    for entry in history:
        after = entry.after
        if after is not None and after.get("assign", {}).get("by") == "random":
            found[entry.revision] = seats(weights_of(after["split"]))
    return found


def _side(qualities: Mapping[int, Quality], version: int, rule: str, answers: int | None) -> dict[str, Any]:
    """Return the figures of one version. *answers*: how many were remembered; None where that is not counted."""
    segment = experiment.segment_of(qualities, version, rule)
    covered = segment.count("covered")
    coverage = covered / answers if answers else None
    return {"version": str(version), "answers": answers, "coverage": coverage, **segment.figures()}


async def _trials_per_second(operations: Operations, model: str, asked: Asked, metric: str) -> float:
    """Return how fast trials of *metric* came to both versions together lately."""
    for seconds in PACES:
        lately = await operations.quality(model, seconds)
        arms = [
            experiment.arm_of(experiment.segment_of(lately, version, asked.rule), metric)
            for version in (asked.first, asked.second)
        ]
        if trials := sum(arm.trials for arm in arms):
            return trials / seconds
    return 0.0


def _seconds(trials: int | None, per_second: float) -> float | None:
    """Return how long *trials* take; None where they are not known, or none come."""
    if trials is None:
        return None
    return trials / per_second if per_second else None if trials else 0.0
