"""From what was learned to a rollout: look at the gate, publish, start, follow, and wait after one was taken back.

One rollout at a time. Every decision is in the state before anything outside is done, so that a learner that dies in
between goes on where it was.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.convert.errors import CannotConvert
from gateway.core.learning import (
    ChangeDetector,
    Comparison,
    Fate,
    Judgement,
    Progress,
    fate_of,
    is_due,
    judge,
    judge_held_out,
)  # fmt: skip
from gateway.learning import centres, estimators
from gateway.learning.admin import RolloutRefused
from gateway.learning.errors import Diverged
from gateway.learning.estimators import CLUSTERING
from gateway.learning.publishing import Candidate
from gateway.learning.rows import none_of
from gateway.learning.teaching import compared, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.learning.admin import Admin, Seen
    from gateway.learning.document import LearnerDocument
    from gateway.learning.folder import Folder
    from gateway.learning.publishing import Published
    from gateway.learning.rows import Columns
    from gateway.learning.state import State

START_SECONDS: Final = 60.0
"""So long a gateway may need to find a version that was published; what it refuses longer is not going to start."""


class Publisher(Protocol):
    """Whoever makes versions; see ``publishing.Repository``."""

    def publish(self, candidate: Candidate) -> Published:
        """Return which version the candidate became. Blocks. Raises CannotConvert."""
        ...


class Releases:
    """The way out of one learner. *first* returns the pipeline to begin with where none is kept."""

    def __init__(
        self, document: LearnerDocument, columns: Columns, folder: Folder, publisher: Publisher, admin: Admin,
        first: Callable[[], Any],
    ) -> None:  # fmt: skip
        self._document = document
        self._columns = columns
        self._folder = folder
        self._publisher = publisher
        self._admin = admin
        self._first = first

    async def follow(self, state: State, seen: Seen, now: float) -> None:
        """Take note of what serves now, and of what became of the version that was published."""
        head = state.head
        if head.published and not head.is_started:
            await self._start(state, seen, now)
            return
        if head.published:
            self._settle(state, seen, now)
        if seen.serving != head.serving:
            self._say(state, f"version {seen.serving} serves now in place of {head.serving}: compared afresh")
            head.serving, head.is_drifting = seen.serving, False
            self._forget_evidence(state)
            self._folder.save(state)

    async def consider(self, state: State, seen: Seen, now: float) -> None:
        """Look at the gate where it is time, and publish what passes. Nothing is looked at while a rollout is live."""
        head = state.head
        await self._publish(state, now)
        is_busy = bool(head.published) or (seen.rollout is not None and not seen.rollout.is_over)
        progress = Progress(head.labels_since, now - head.looked_at, head.is_alarmed, head.has_drifted)
        if is_busy or now < head.wait_until or not is_due(progress, self._document.schedule):
            return
        head.labels_since, head.looked_at = 0, now
        try:
            head.is_publishing = self._passes(state)
        except Diverged as exc:
            self.recover(state, exc)
        self._folder.save(state)
        await self._publish(state, now)

    def hear(self, state: State, reasons: Sequence[str]) -> None:
        """Compare afresh where the gateway finds that the serving version's rows have drifted, once until that ends.

        *reasons*: which columns, in the gateway's words; none while nothing drifts.
        """
        head = state.head
        if bool(reasons) == head.is_drifting:
            return
        head.is_drifting = bool(reasons)
        if reasons:
            head.comparison, head.detector, head.has_drifted = Comparison(), ChangeDetector(), True
            head.drifts += 1
            self._say(state, f"version {head.serving} is asked something else ({reasons[0]}): compared afresh")
        self._folder.save(state)

    def recover(self, state: State, why: Diverged) -> None:
        """Go on after the pipeline was spoiled by what it was to learn."""
        self.begin_again(state)
        self._say(state, f"the pipeline could not go on ({why}); learning began again")

    def _passes(self, state: State) -> bool:
        """Say whether to publish, and in words why. Raises Diverged."""
        head = state.head
        if self._document.strategy == "batch":
            self._refit(state)
        found = judge(head.comparison, self._document.gate)
        if found.kind is not Judgement.BETTER:
            self._say(state, f"not published: {found.reason}")
            if found.kind is Judgement.WORSE:
                head.comparison, head.is_alarmed, head.has_drifted = Comparison(), False, False
            return False
        rows = Comparison().with_rows(compared(state, state.held, self._document))
        held = judge_held_out(rows, self._document.gate)
        if held.kind is not Judgement.BETTER:
            self._say(state, f"not published: {found.reason}; but {held.reason}")
            return False
        head.because = f"{found.reason}; {held.reason}"
        head.attempts += 1
        return True

    def begin_again(self, state: State) -> None:
        """Go back to the serving version's own pipeline where it is known, else to the first; the evidence is gone."""
        head = state.head
        kept = self._folder.kept(head.serving)
        state.pipeline = self._first() if kept is None else kept
        head.base = head.serving if kept is not None or head.serving == head.origin else 0
        head.digest, head.digested = "", 0
        state.window = none_of(self._columns, is_text=bool(self._document.classes))
        head.is_publishing = False
        self._forget_evidence(state)

    def _forget_evidence(self, state: State) -> None:
        head = state.head
        head.comparison, head.detector, head.labels_since = Comparison(), ChangeDetector(), 0
        head.is_alarmed = head.has_drifted = False
        state.held = none_of(self._columns, is_text=bool(self._document.classes))

    def _refit(self, state: State) -> None:
        rows = state.window
        if self._document.task == CLUSTERING:
            state.pipeline = centres.refit(state.pipeline, rows.inputs)
            return
        said = typed(rows.said, self._document)
        if len(rows) >= 2 and (not self._document.classes or len(set(said.tolist())) == len(self._document.classes)):
            state.pipeline = estimators.refit(state.pipeline, rows.inputs, said)

    async def _publish(self, state: State, now: float) -> None:
        """Have what passed published, if anything did, and keep it beside the state under the version's number."""
        head = state.head
        if not head.is_publishing:
            return
        try:
            done = await asyncio.to_thread(self._publisher.publish, self._candidate(state))
        except CannotConvert as exc:
            self._fail(state, f"it could not be published: {exc}", now)
            return
        if done.failed:
            self._fail(state, f"version {done.version} was published as FAILED: {done.failed}", now)
            return
        self._folder.keep(done.version, state.pipeline)
        head.is_publishing, head.published, head.published_at, head.is_started = False, done.version, now, False
        self._say(state, f"version {done.version} was published; its rollout is about to start")
        self._folder.save(state)

    def _candidate(self, state: State) -> Candidate:
        head = state.head
        compared_on = {"rows": head.comparison.rows, "learner": _mean(head.comparison.learner, head.comparison.rows),
                       "serving": _mean(head.comparison.serving, head.comparison.rows)}  # fmt: skip
        return Candidate(
            f"{head.group}-{head.attempts}", state.pipeline, state.window.inputs, self._columns, head.serving,
            "fine-tuned-from" if head.base == head.serving else "trained-from",
            {
                "training_data": {
                    "name": f"labelled answers of {head.model}", "digest": f"sha256:{head.digest}",
                    "rows": head.digested, "last_entry": head.learned_to,
                },
                "learner": {"document": dict(self._document.written), "prequential": compared_on},
            },
            head.because,
        )  # fmt: skip

    async def _start(self, state: State, seen: Seen, now: float) -> None:
        """Have the rollout started; a gateway may need some seconds to find the version."""
        head = state.head
        if seen.rollout is not None and head.published in seen.rollout.candidates:
            head.is_started = True  # a learner that died after it was accepted
        else:
            try:
                reason = f"learned: {head.because}"[:200]
                await asyncio.to_thread(self._admin.start, head.published, self._document.rollout, reason)
            except RolloutRefused as exc:
                if now - head.published_at > START_SECONDS:
                    self._fail(state, f"the rollout of version {head.published} was refused: {exc}", now)
                return
            head.is_started = True
        self._say(state, f"version {head.published} is in its rollout")
        self._folder.save(state)

    def _settle(self, state: State, seen: Seen, now: float) -> None:
        """Take note of what became of the version that was published."""
        head, rollout = state.head, seen.rollout
        if rollout is None:
            fate = Fate.PASSED_OVER
        else:
            fate = fate_of(rollout.phase, is_ours=head.published in rollout.candidates)
        if fate is Fate.UNDER_WAY:
            return
        if fate is Fate.TAKEN_BACK:
            assert rollout is not None
            self._fail(state, f"version {head.published} was taken back ({rollout.phase}: {rollout.reason})", now)
            return
        if fate is Fate.PROMOTED:
            self._say(state, f"version {head.published} was promoted")
            head.base, head.serving, head.failures = head.published, head.published, 0
            head.is_drifting = False
        else:
            self._say(state, f"another rollout took the place of that of version {head.published}")
        head.published, head.is_started = 0, False
        self._forget_evidence(state)
        self._folder.save(state)

    def _fail(self, state: State, why: str, now: float) -> None:
        """Begin again from the serving version, after a wait that doubles each time."""
        head = state.head
        head.failures += 1
        waits = self._document.backoff.seconds(head.failures)
        head.published, head.is_started, head.wait_until = 0, False, now + waits
        self.begin_again(state)
        self._say(state, f"{why}; learning begins again from version {head.serving}, and waits {waits:.0f} s")
        self._folder.save(state)

    def _say(self, state: State, words: str) -> None:
        state.head.words = words


def _mean(total: float, rows: int) -> float | None:
    return total / rows if rows else None
