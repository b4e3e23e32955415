"""Golden requests in a rollout's preflight: this worker asks the canary and remembers what that showed.

On a thread, beside the requests: nothing here is on their way. What came out is in the worker's report, and the
controller decides by those of all workers. The files are read anew, so requests that were recorded since the canary
was loaded count as well.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from gateway.core.errors import GatewayError, InvalidModel
from gateway.core.phases import Phase
from gateway.models.golden import golden_of
from gateway.models.replay import replay
from gateway.ports.workers import GoldenResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.core.rollout import Rollout
    from gateway.models.catalog import Catalog
    from gateway.ports.engine import Session

LOOK_AGAIN_SECONDS: Final = 2.0
"""What was missing may be there a moment later: files are looked for again so often while a canary waits."""


class Rehearsals:
    """What golden requests showed of the canaries that are in preflight; ``run_forever`` keeps it current."""

    def __init__(
        self,
        rollouts: Callable[[], Mapping[str, Rollout]],
        catalog: Catalog,
        root: Path,
    ) -> None:
        """*rollouts*: those under way, by model. *root*: of the repository."""
        self.results: Mapping[str, Mapping[int, GoldenResult]] = {}
        """Model → candidate → what was found."""
        self._rollouts = rollouts
        self._catalog = catalog
        self._root = root
        self._listeners: list[Callable[[], object]] = []
        self._woken = asyncio.Event()

    def subscribe(self, listener: Callable[[], object]) -> None:
        """Call *listener* after every change of the results."""
        self._listeners.append(listener)

    def wake(self) -> None:
        """Look soon: a route or a version changed."""
        self._woken.set()

    async def run_forever(self) -> None:
        """Look after every ``wake``, and now and then."""
        while True:
            self._woken.clear()
            await self.look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_AGAIN_SECONDS)

    async def look(self) -> None:
        """Replay for every canary in preflight that was not asked yet, and forget the others."""
        waiting = {
            model: rollout
            for model, rollout in self._rollouts().items()
            if rollout.goal is Phase.PREFLIGHT and rollout.plan.golden.of != "off"
        }
        results: dict[str, Mapping[int, GoldenResult]] = {}
        for model, rollout in waiting.items():
            results[model] = await self._results_of(model, rollout)
        if results != self.results:
            self.results = results
            for listener in self._listeners:
                listener()

    async def _results_of(self, model: str, rollout: Rollout) -> Mapping[int, GoldenResult]:
        """Return what is known of each candidate of *rollout*, those asked that were not yet."""
        before = self.results.get(model, {})
        results = {}
        for candidate in rollout.live:
            known = before.get(candidate)
            if known is None or known.rollout != rollout.id or known.lacks:
                known = await self._ask(model, rollout, candidate)
            if known is not None:
                results[candidate] = known
        return results

    async def _ask(self, model: str, rollout: Rollout, candidate: int) -> GoldenResult | None:
        """Return what the requests show of *candidate*, None while it is not READY here."""
        loaded = self._catalog.ready(model, candidate)
        if loaded is None:
            return None
        loaded.hold()
        try:
            return await asyncio.to_thread(rehearse, loaded.session, self._root / model, rollout, candidate)
        finally:
            loaded.release()


def rehearse(session: Session, versions: Path, rollout: Rollout, candidate: int) -> GoldenResult:
    """Return what the requests that the plan of *rollout* names show of *session*, that of *candidate*. Blocks.

    *versions*: the directory of the model.
    """
    plan = rollout.plan.golden
    version = rollout.baseline if plan.of == "baseline" else candidate
    try:
        requests = golden_of(versions / str(version))
        if not requests and plan.of == "baseline":
            lacks = f"version {version} has no golden requests; record some with `gateway models golden`"
            return GoldenResult(rollout.id, lacks=lacks)
        failed = replay(session, requests, tolerance=plan.tolerance)
    except InvalidModel as exc:
        return GoldenResult(rollout.id, lacks=f"the golden requests of version {version} cannot be used: {exc}")
    except GatewayError as exc:  # the canary was stopped or unloaded meanwhile
        return GoldenResult(rollout.id, lacks=f"the golden requests could not be replayed: {exc}")
    whose = f"of version {version}: " if failed and plan.of == "baseline" else ""
    return GoldenResult(rollout.id, failed=f"{whose}{failed}")
