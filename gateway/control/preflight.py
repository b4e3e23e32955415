"""Whether a canary may get its first traffic, on every replica that shares the store.

Each control process looks at its own workers once a second and tells the others; whoever leads the rollout takes all
of it together. What a version must be is in the plan, what means what in ``core.readiness``. Changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.errors import InvalidModel, UnknownModel
from gateway.core.phases import Phase
from gateway.core.readiness import Readiness, together, written_words
from gateway.core.versions import VersionState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.control.fleet import FleetVersion
    from gateway.control.route_reader import CurrentRoute
    from gateway.core.rollout import Rollout
    from gateway.ports import Described, FleetStore, WorkerReport, Workers

DEMANDED: Mapping[str, tuple[str, str]] = {
    "parity": ("holds", "`gateway models convert` compares a model with its original"),
    "evaluation": ("passed", "`gateway models evaluate` runs the gates of an evaluation"),
}
"""Demand of a plan, which is a member of the metadata → the member of it that has to be true, and what sets it."""


class Preflight:
    """What this *replica* and the others say of the canaries that are in preflight."""

    def __init__(
        self,
        store: FleetStore,
        workers: Workers,
        fleet_of: Callable[[str], Mapping[int, FleetVersion]],
        describe: Described,
        replica: str,
    ) -> None:
        """*fleet_of* returns the versions of a model on this replica. *replica*: a name that no other one has."""
        self._store = store
        self._workers = workers
        self._fleet_of = fleet_of
        self._describe = describe
        self._replica = replica
        self._others: Mapping[str, str] = {}

    async def exchange(self, live: Mapping[str, CurrentRoute]) -> None:
        """Tell the other replicas what this one says of the *live* rollouts, and hear them. Raises StoreUnavailable."""
        own = {
            model: self._own(model, current.rollout, current.revision)
            for model, current in live.items()
            if current.rollout is not None and current.rollout.goal in {Phase.PENDING, Phase.PREFLIGHT}
        }
        said = await self._store.announce(self._replica, written_words(own))
        self._others = {name: words for name, words in said.items() if name != self._replica}

    def readiness(self, model: str, current: CurrentRoute) -> Readiness:
        """Return what all replicas say of the canary of the rollout in *current*; trivial once that has traffic."""
        assert current.rollout is not None
        if current.rollout.goal is not Phase.PREFLIGHT:
            return Readiness(current.rollout.id, current.revision)
        return together(model, self._own(model, current.rollout, current.revision), self._others)

    def _own(self, model: str, rollout: Rollout, revision: int) -> Readiness:
        reports = self._workers.reports()
        try:
            candidate = self._fleet_of(model).get(rollout.candidate)
        except UnknownModel:  # it went a moment ago
            candidate = None
        failed = "" if candidate is None else _golden_failure(rollout, model, reports)
        lacks = (
            _lacking(rollout.candidate, candidate)
            or self._unproven(model, rollout)
            or _following(model, revision, reports)
            or _golden_lack(rollout, model, reports)
        )
        return Readiness(rollout.id, revision, lacks, failed)

    def _unproven(self, model: str, rollout: Rollout) -> str:
        """Return which demand of the plan the metadata of the canary does not meet, empty for none."""
        for demand in rollout.plan.require:
            member, how = DEMANDED[demand]
            try:
                found = (self._describe(model, rollout.candidate) or {}).get("extra", {}).get(demand)
            except InvalidModel as exc:
                return f"the plan requires {demand}, and the metadata cannot be read: {exc}"
            if not isinstance(found, dict) or found.get(member) is not True:
                said = "says it did not pass" if isinstance(found, dict) else "does not say so"
                return f"the plan requires {demand}, and the metadata of version {rollout.candidate} {said}; {how}"
        return ""


def _lacking(version: int, found: FleetVersion | None) -> str:
    """Return why *version* cannot answer on every live worker, empty where it can."""
    if found is None:
        return f"version {version} is not in its repository"
    if found.state is VersionState.READY:
        return ""
    reason = f": {found.reason}" if found.reason else ""
    return f"version {version} is {found.state} on {found.total - found.ready} of {found.total} workers{reason}"


def _following(model: str, revision: int, reports: Sequence[WorkerReport]) -> str:
    behind = [report.slot for report in reports if report.revisions.get(model, 0) < revision]
    return f"worker {behind[0]} does not follow revision {revision} yet" if behind else ""


def _golden_failure(rollout: Rollout, model: str, reports: Sequence[WorkerReport]) -> str:
    """Return what golden requests showed on the first worker that found a difference, empty where none did."""
    found = [report.golden[model] for report in reports if model in report.golden]
    return next((each.failed for each in found if each.rollout == rollout.id and each.failed), "")


def _golden_lack(rollout: Rollout, model: str, reports: Sequence[WorkerReport]) -> str:
    """Return why golden requests were not replayed on some worker, empty where they were or need not be."""
    if rollout.plan.golden.of == "off":
        return ""
    for report in reports:
        found = report.golden.get(model)
        if found is None or found.rollout != rollout.id:
            return f"worker {report.slot} has not replayed the golden requests yet"
        if found.lacks:
            return found.lacks
    return ""
