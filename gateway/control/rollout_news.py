"""What is told of rollouts: a log line for each thing that happened, and the numbers for ``/metrics``.

Whoever moved a rollout, a worker, another replica or an operator: it is seen here by comparing what was stored a
second ago with what is stored now. So no move is silent, and none depends on who made it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.core.phases import ENDED, Phase
from gateway.core.rollout import STOPPED
from gateway.ports import ROLLBACK_REASONS, RolloutGauges

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
        """Take the last rollout of each model, and tell what is new. The first look tells nothing: it is no news."""
        before, self._seen = self._seen, dict(rollouts)
        for model, rollout in rollouts.items():
            if rollout.phase in ENDED or rollout.phase is Phase.PENDING:
                self.forget(model)
            if before is not None and not _stands_where(before.get(model), rollout):
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
            model: RolloutGauges(rollout.phase, rollout.candidate, self._verdicts.get(model))
            for model, rollout in (self._seen or {}).items()
        }

    def rollbacks(self) -> Mapping[tuple[str, str], int]:
        zeros = dict.fromkeys(((model, reason) for model in self._seen or {} for reason in ROLLBACK_REASONS), 0)
        return zeros | self._rollbacks

    def _tell(self, model: str, rollout: Rollout) -> None:
        if rollout.phase is Phase.ROLLED_BACK:
            guard = rollout.reason.partition(":")[0]
            reason = guard if guard in ROLLBACK_REASONS else "other"
            self._rollbacks[model, reason] = self._rollbacks.get((model, reason), 0) + 1
        fields = {
            "model": model, "rollout": rollout.id, "candidate": rollout.candidate, "baseline": rollout.baseline,
            "phase": rollout.phase.value, "step": rollout.step + 1, "reason": rollout.reason,
        }  # fmt: skip
        level = logging.WARNING if rollout.phase in LOUD or rollout.gate else logging.INFO
        where = _where(rollout)
        log.log(level, "the rollout of model %r, version %d, %s", model, rollout.candidate, where, extra=fields)


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
            gate = " and waits for approval" if rollout.gate else ""
            return f"is {'held' if phase is Phase.HOLD else 'paused'} in {rollout.goal}{gate}: {rollout.reason}"
        case phase:
            return f"is {phase}"
