"""The breaker of one canary in one worker, and the budget of re-runs: what a worker decides alone and at once.

A value: every event gives the next one. Safety needs no election, so a worker may stop asking a canary without the
store; it never asks it more. Nothing here counts towards the fleet's evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

IN_A_ROW: Final = 8
"""Confirmed failures in a row that open. Not fewer: in an incident that both arms share, with 20 % failing for three
minutes, 3 in a row open on nearly every healthy canary, 5 on 15 %, 8 on 0.05 %."""

PROBES_AFTER_SECONDS: Final = (1.0, 2.0, 4.0)
"""When, after it opened, one request each is let through to see. All of them bad is a failure of the canary."""

LOCAL_SHARE_OF_ALPHA: Final = 0.01
"""A worker's own ``assess`` takes this part of the rollout's alpha, so that many workers may each look."""

LEAST_RERUNS: Final = 64
"""The requests of one full run, which fail together and are run again together."""
RERUN_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Breaker:
    """*failures* in a row so far; *opened* when it opened (seconds of a monotonic clock), None while closed.

    bad_probes: of those let through since. probing: one is under way. revision: under which this worker's own evidence
    opened it, None where that did not.
    """

    failures: int = 0
    opened: float | None = None
    bad_probes: int = 0
    probing: bool = False
    revision: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the canary's units are answered by the baseline directly."""
        return self.opened is not None or self.revision is not None

    @property
    def is_tripped(self) -> bool:
        """Whether every probe was bad: give ``assess`` *tripped*, which is FAIL."""
        return self.bad_probes >= len(PROBES_AFTER_SECONDS)

    def may_probe(self, now: float) -> bool:
        """Say whether one request may be let through at *now*; then go on with ``with_probe``."""
        if self.opened is None or self.revision is not None or self.probing or self.is_tripped:
            return False
        return now - self.opened >= PROBES_AFTER_SECONDS[self.bad_probes]

    def with_probe(self) -> Breaker:
        """Return the breaker while a probe is under way."""
        return replace(self, probing=True)

    def after_probe(self, good: bool | None) -> Breaker:
        """Return the breaker after its probe. A good one closes it; None, cancelled or not confirmed, says nothing."""
        if good:
            return Breaker(revision=self.revision)
        return replace(self, probing=False, bad_probes=self.bad_probes + (good is False))

    def after_failure(self, now: float) -> Breaker:
        """Return the breaker after a confirmed failure at *now*. Unconfirmed ones are none and are not told here."""
        failures = self.failures + 1
        return replace(
            self, failures=failures, opened=now if self.opened is None and failures >= IN_A_ROW else self.opened
        )

    def after_good(self) -> Breaker:
        """Return the breaker after a good answer of the canary. One that was asked before it opened closes nothing."""
        return replace(self, failures=0)

    def after_verdict(self, revision: int) -> Breaker:
        """Return the breaker after this worker's own evidence of *revision* said FAIL: open until another revision."""
        return replace(self, revision=revision)

    def at_revision(self, revision: int) -> Breaker:
        """Return the breaker under the route's *revision*."""
        return self if self.revision in {None, revision} else replace(self, revision=None)


def may_rerun(running: int, active: int) -> bool:
    """Say whether one more re-run may start beside *running* ones, with *active* requests in this worker.

    At most a fifth of them, and those of one full run in any case. Without it a canary that fails always would
    double the load.
    """
    return running + 1 <= max(LEAST_RERUNS, RERUN_SHARE * active)
