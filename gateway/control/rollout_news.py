"""What is told of rollouts: a log line for each thing that happened, and the numbers for ``/metrics``.

Whoever moved a rollout, a worker, another replica or an operator: it is seen here by comparing what was stored a
second ago with what is stored now. So no move is silent, and none depends on who made it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.core.phases import ENDED, Phase
from gateway.core.rollout import STOPPED
from gateway.ports.evidence import ROLLBACK_REASONS, RolloutGauges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.control.rollout_status import Assessed
    from gateway.core.rollout import Rollout
    from gateway.core.steering import Wait
    from gateway.core.verdicts import Verdict

log = logging.getLogger(__name__)

LOUD: Final = (Phase.ROLLED_BACK, Phase.HOLD)
"""What somebody should look at: told as a warning, and so is a gate that waits for approval."""


class RolloutNews:
    """Remembers what it told; implements ``ports.RolloutMetrics``."""

    def __init__(self) -> None:
        self._seen: dict[str, Rollout] | None = None
        self._verdicts: dict[str, Verdict] = {}
        self._troubles: dict[str, str] = {}
        self._rollbacks: dict[tuple[str, str], int] = {}

    def see(self, rollouts: Mapping[str, Rollout]) -> None:
        """Take the last rollout of each model that has a route, and tell what is new.

        The first look tells nothing: it is no news. A model that is not in it is as it was: its route was lost with the
        store, and comes back from where it is served. Only its verdict is gone, for nobody judges it.
        """
        before, self._seen = self._seen, {**(self._seen or {}), **rollouts}
        for model in self._seen.keys() - rollouts.keys():
            self.forget(model)
        for model, rollout in rollouts.items():
            for reason in ROLLBACK_REASONS:
                self._rollbacks.setdefault((model, reason), 0)
            if rollout.phase in ENDED or rollout.phase is Phase.PENDING:
                self.forget(model)
            if before is not None:
                self._tell_who_failed(model, before.get(model), rollout)
                if not _stands_where(before.get(model), rollout):
                    self._tell(model, rollout)

    def judged(self, model: str, assessment: Assessed) -> None:
        """Take the verdict on the rollout of *model*; this process leads it."""
        self._verdicts[model] = assessment.verdict

    def forget(self, model: str) -> None:
        """Drop the verdict on *model*: its rollout is over, or another process leads it."""
        self._verdicts.pop(model, None)
        self._troubles.pop(model, None)

    def waits(self, model: str, wait: Wait) -> None:
        """Tell, once, of a rollout that will not go on by itself."""
        if wait.alert:
            self.trouble(model, f"the rollout of model {model!r} needs somebody: {wait.reason}", kind="alert")
        else:
            self._troubles.pop(model, None)

    def trouble(self, model: str, message: str, *, kind: str = "trouble") -> None:
        """Tell *message*, once until another *kind* of thing happened."""
        if self._troubles.get(model) != kind:
            self._troubles[model] = kind
            log.warning("%s", message, extra={"model": model})

    def gauges(self) -> Mapping[str, RolloutGauges]:
        return {
            model: RolloutGauges(rollout.phase, _by_candidate(rollout, self._verdicts.get(model)))
            for model, rollout in (self._seen or {}).items()
        }

    def rollbacks(self) -> Mapping[tuple[str, str], int]:
        return dict(self._rollbacks)

    def _tell_who_failed(self, model: str, before: Rollout | None, now: Rollout) -> None:
        """Count each candidate that was taken back, and tell of one that the others go on without."""
        known = before.failed() if before is not None and before.id == now.id else {}
        for version, why in now.failed().items():
            if version in known:
                continue
            guard = why.partition(":")[0]
            reason = guard if guard in ROLLBACK_REASONS else "other"
            self._rollbacks[model, reason] += 1
            if version in now.left:
                fields = _fields(model, now) | {"candidate": version, "reason": why}
                log.warning("version %d of model %r is taken back, others go on: %s", version, model, why, extra=fields)

    def _tell(self, model: str, rollout: Rollout) -> None:
        level = logging.WARNING if rollout.phase in LOUD or rollout.gate else logging.INFO
        who, where = _versions(rollout), _where(rollout)
        log.log(level, "the rollout of model %r, version %s, %s", model, who, where, extra=_fields(model, rollout))


def _fields(model: str, rollout: Rollout) -> dict[str, object]:
    return {
        "model": model, "rollout": rollout.id, "candidate": rollout.candidate or _versions(rollout),
        "baseline": rollout.baseline,
        "phase": rollout.phase.value, "step": rollout.step + 1, "reason": rollout.reason,
    }  # fmt: skip


def _versions(rollout: Rollout) -> str:
    return ", ".join(map(str, rollout.live))


def _by_candidate(rollout: Rollout, verdict: Verdict | None) -> Mapping[int, Verdict]:
    """Return the verdict on each candidate that is in it; none without one."""
    found = (verdict.each or (verdict,)) if verdict is not None else ()
    return {each.version: each for each in found if each.version is not None and each.version in rollout.live}


def _stands_where(before: Rollout | None, now: Rollout) -> bool:
    return before is not None and (before.id, before.phase, before.step) == (now.id, now.phase, now.step)


def _where(rollout: Rollout) -> str:
    """Return what became of a rollout, as the end of a sentence."""
    match rollout.phase:
        case Phase.STEP:
            return f"is at step {rollout.step + 1} of {len(rollout.plan.steps)}"
        case Phase.ROLLED_BACK:
            return f"was rolled back: {rollout.reason}"
        case phase if phase in STOPPED:
            waits = "a choice" if rollout.must_choose else "approval"
            gate = f" and waits for {waits}" if rollout.gate else ""
            return f"is {'held' if phase is Phase.HOLD else 'paused'} in {rollout.goal}{gate}: {rollout.reason}"
        case phase:
            return f"is {phase}"
