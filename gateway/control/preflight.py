"""Whether canaries may get their first traffic, on every replica that shares the store.

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
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.control.fleet import FleetVersion
    from gateway.control.route_reader import CurrentRoute
    from gateway.core.rollout import Rollout
    from gateway.ports.store import FleetStore
    from gateway.ports.workers import Described, Evaluated, WorkerReport, Workers


class Preflight:
    """What this *replica* and the others say of the canaries that are in preflight."""

    def __init__(
        self,
        store: FleetStore,
        workers: Workers,
        fleet_of: Callable[[str], Mapping[int, FleetVersion]],
        describe: Described,
        evaluated: Evaluated,
        replica: str,
    ) -> None:
        """*fleet_of* returns the versions of a model on this replica. *replica*: a name that no other one has."""
        self._store = store
        self._workers = workers
        self._fleet_of = fleet_of
        self._describe = describe
        self._evaluated = evaluated
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
        """Return what all replicas say of the canaries of the rollout in *current*; trivial once those have traffic."""
        assert current.rollout is not None
        if current.rollout.goal is not Phase.PREFLIGHT:
            return Readiness(current.rollout.id, current.revision)
        return together(model, self._own(model, current.rollout, current.revision), self._others)

    def _own(self, model: str, rollout: Rollout, revision: int) -> Readiness:
        reports = self._workers.reports()
        try:
            fleet = self._fleet_of(model)
        except UnknownModel:  # it went a moment ago
            fleet = {}
        lacks = (
            _first(_lacking(version, fleet.get(version)) for version in rollout.live)
            or _first(self._unproven(model, rollout, fleet[version]) for version in rollout.live)
            or _following(model, revision, reports)
            or _first(_golden_lack(rollout, version, model, reports) for version in rollout.live)
        )
        found = {version: _golden_failure(rollout, version, model, reports) for version in rollout.live}
        failed = {version: reason for version, reason in found.items() if reason and version in fleet}
        return Readiness(rollout.id, revision, lacks, failed)

    def _unproven(self, model: str, rollout: Rollout, candidate: FleetVersion) -> str:
        """Return which demand of the plan *candidate* does not meet, empty for none."""
        proofs = {"parity": self._without_parity, "evaluation": self._without_evaluation}
        return _first(proofs[demand](model, candidate) for demand in rollout.plan.require)

    def _without_parity(self, model: str, candidate: FleetVersion) -> str:
        try:
            found = (self._describe(model, candidate.version) or {}).get("extra", {}).get("parity")
        except InvalidModel as exc:
            return f"the plan requires parity, and the metadata cannot be read: {exc}"
        if isinstance(found, dict) and found.get("holds") is True:
            return ""
        said = "says it did not pass" if isinstance(found, dict) else "does not say so"
        how = "`gateway models convert` compares a model with its original"
        return f"the plan requires parity, and the metadata of version {candidate.version} {said}; {how}"

    def _without_evaluation(self, model: str, candidate: FleetVersion) -> str:
        passed, why = self._evaluated(model, candidate.version, candidate.digest)
        return "" if passed else f"the plan requires evaluation of version {candidate.version}: {why}"


def _first(reasons: Iterable[str]) -> str:
    """Return the first of *reasons* that is one; those behind it are not looked for."""
    return next(filter(None, reasons), "")


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


def _golden_failure(rollout: Rollout, version: int, model: str, reports: Sequence[WorkerReport]) -> str:
    """Return what golden requests of *version* showed on the first worker that found a difference, empty where none."""
    found = (report.golden.get(model, {}).get(version) for report in reports)
    return _first(each.failed for each in found if each is not None and each.rollout == rollout.id)


def _golden_lack(rollout: Rollout, version: int, model: str, reports: Sequence[WorkerReport]) -> str:
    """Return why *version* was not asked golden requests on some worker, empty where it was or need not be."""
    if rollout.plan.golden.of == "off":
        return ""
    for report in reports:
        found = report.golden.get(model, {}).get(version)
        if found is None or found.rollout != rollout.id:
            return f"worker {report.slot} has not replayed the golden requests of version {version} yet"
        if found.lacks:
            return found.lacks
    return ""
