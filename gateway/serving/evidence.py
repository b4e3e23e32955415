"""Sends what this worker counted of each rollout to the store, and takes canaries back when the totals say so.

Five times a second where something changed, and at once after a failure of a canary. Nothing is lost while the store is
away: the counters stay here, and a flush that may have landed is sent again as it was, under the same number. What was
counted for a rollout that has ended is dropped. This only ever lowers a canary.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from itertools import count, islice
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.core.errors import CorruptRoute, InvalidDocument, StoreUnavailable
from gateway.core.evidence import RUN_KINDS, Counter, read_evidence
from gateway.core.judgement import judge_one
from gateway.core.verdicts import Kind
from gateway.ports.evidence import DELTA_FIELDS, DELTA_POINTS, Deltas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.core.verdicts import Verdict
    from gateway.ports.evidence import EvidenceStore, Reverter
    from gateway.serving.trials import Canary, Trial, Trials

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 0.2
AT_MOST_EVERY_SECONDS: Final = 0.02
"""How close together two rounds may be when something does not wait."""

TELLING: Final = frozenset((*RUN_KINDS, "deaths"))
"""The kinds that may take a canary back, so that totals are judged when one of its is sent."""


class Outbox:
    """What the store has of one trial, and what is on its way there."""

    def __init__(self, trial: Trial, numbers: Iterator[int]) -> None:
        """*numbers*: of this worker's flushes, ascending."""
        self._trial = trial
        self._numbers = numbers
        self._sent: dict[Counter, int] = {}
        self._waiting: tuple[int, dict[Counter, int], list[tuple[Counter, tuple[int, ...]]]] | None = None

    def next(self) -> tuple[int, Deltas] | None:
        """Return the number and the deltas to send; the same again until ``done``. None where nothing changed."""
        if self._waiting is None:
            new = ((each, many - self._sent.get(each, 0)) for each, many in self._trial.counts().items())
            counts = dict(islice(((each, more) for each, more in new if more), DELTA_FIELDS // 2))
            sightings = self._take_sightings()
            if not counts and not sightings:
                return None
            self._waiting = next(self._numbers), counts, sightings
        number, counts, sightings = self._waiting
        fields = {str(each): more for each, more in counts.items()}
        return number, Deltas(fields, [(str(each), points) for each, points in sightings])

    def speaks_of(self, canary: int) -> bool:
        """Say whether what is on its way has failed or slow runs of *canary*, or deaths."""
        if self._waiting is None:
            return False
        _, counts, sightings = self._waiting
        counters = [*counts, *(each for each, _ in sightings)]
        return any(each.version == canary and each.kind in TELLING for each in counters)

    def done(self) -> None:
        """The store took it, or will never want it."""
        if self._waiting is not None:
            for each, more in self._waiting[1].items():
                self._sent[each] = self._sent.get(each, 0) + more
        self._waiting = None

    def _take_sightings(self) -> list[tuple[Counter, tuple[int, ...]]]:
        held, points, many = self._trial.sightings, 0, 0
        for many, (_, keys) in enumerate(held[: DELTA_FIELDS // 2], start=1):  # noqa: B007 - its last value is used
            points += len(keys)
            if points > DELTA_POINTS // 2:
                break
        taken = held[:many]
        del held[:many]
        return taken


class Correspondence:
    """One trial and the store: at most one exchange of words at a time."""

    def __init__(self, trial: Trial, store: EvidenceStore, reverter: Reverter, worker: str, numbers: Iterator[int]):
        self._trial = trial
        self._store = store
        self._reverter = reverter
        self._worker = worker
        self._outbox = Outbox(trial, numbers)
        self._judged: dict[int, int] = {}
        self._guilty: dict[int, Verdict] = {}
        self._taken_back: set[int] = set()
        self._alone: set[int] = set()
        """Candidates that this worker's own evidence condemned, and the fleet's totals did not."""
        self._alarmed: dict[int, int] = {}
        self._complaint = ""
        self.is_busy = False
        self.is_cut_off = False
        """Whether the store did not answer at the last attempt."""

    def look(self) -> None:
        """Let the breakers see what was counted here since the last look; needs no store."""
        for canary in self._live():
            if self._judged.get(canary.version, 0) != canary.runs:
                self._judged[canary.version] = canary.runs
                self._trial.judge_alone(canary)

    async def go_on(self) -> None:
        """Send what changed and act on the answer. What fails is tried again at the next call."""
        self.is_busy = True
        try:
            await self._flush()
            await self._raise_alarms()
            for version, verdict in self._guilty.items():
                if version not in self._taken_back:
                    await self._take_back(version, verdict)
        except StoreUnavailable as exc:
            self.is_cut_off = True
            log.debug("evidence of %r is kept until the store answers: %s", self._trial.model, exc)
        except (CorruptRoute, InvalidDocument) as exc:
            self._complain(exc)
            self._outbox.done()
        finally:
            self.is_busy = False

    async def send_all(self) -> None:
        """Go on until the store has all that was counted, or does not answer."""
        self.is_cut_off = False
        while not self.is_cut_off and self._outbox.next() is not None:
            await self.go_on()

    def _complain(self, exc: CorruptRoute | InvalidDocument) -> None:
        """Log what only an operator can mend, once as long as it stays the same."""
        if str(exc) != self._complaint:
            self._complaint = str(exc)
            log.error("the rollout of %r cannot be kept in the store, mend it there: %s", self._trial.model, exc)

    async def _flush(self) -> None:
        found = self._outbox.next()
        if found is None:
            return
        trial, (number, deltas) = self._trial, found
        totals = await self._store.flush(trial.model, trial.rollout.id, worker=self._worker, seq=number, deltas=deltas)
        news = [each for each in self._live() if self._outbox.speaks_of(each.version) or each.breaker.is_tripped]
        self._outbox.done()
        for canary in news:
            if totals is not None and canary.version not in self._guilty:
                self._judge(canary, totals)

    def _live(self) -> list[Canary]:
        """Return the candidates that are in the rollout still."""
        return [self._trial.canaries[version] for version in self._trial.rollout.live]

    def _judge(self, canary: Canary, totals: Mapping[str, str]) -> None:
        trial, version = self._trial, canary.version
        verdict = judge_one(read_evidence(totals), trial.rollout, version, tripped=canary.breaker.is_tripped)
        if verdict.kind is Kind.FAIL:
            self._guilty[version] = verdict
        if verdict.kind is not Kind.FAIL and canary.breaker.revision is not None:
            self._alone.add(version)
        else:
            self._alone.discard(version)

    async def _raise_alarms(self) -> None:
        """Tell, once per revision, of each canary of which only this worker's breaker is open."""
        trial = self._trial
        for canary in self._live():
            version = canary.version
            is_alone = version in self._alone and canary.breaker.revision is not None
            if not is_alone or self._alarmed.get(version) == trial.revision:
                continue
            await self._reverter.alarm(trial.model, version, trial.revision, self._worker)
            self._alarmed[version] = trial.revision
            log.error(
                "this worker (%s) alone finds version %d of %r bad and asks it no more, the fleet does not: look at "
                "this host", self._worker, version, trial.model,
            )  # fmt: skip

    async def _take_back(self, version: int, verdict: Verdict) -> None:
        trial = self._trial
        guard = verdict.reasons[0].guard
        was_first = await self._reverter.roll_back(trial.model, trial.rollout.id, version, verdict.text, guard)
        self._taken_back.add(version)
        log.warning(
            "version %d of %r is taken back%s: %s",
            version, trial.model, "" if was_first else " already", verdict.text,
        )  # fmt: skip


class EvidenceDuty:
    """The task of a worker that does this for all its rollouts."""

    def __init__(self, trials: Trials, store: EvidenceStore, reverter: Reverter, worker: str) -> None:
        """*worker* names this incarnation: no other process, before or after, has the same."""
        self._trials = trials
        self._store = store
        self._reverter = reverter
        self._worker = worker
        self._numbers = count(1)
        self._open: dict[str, tuple[Trial, Correspondence]] = {}

    async def run_forever(self) -> None:
        """Go round for ever."""
        async with asyncio.TaskGroup() as exchanges:
            while True:
                await self._wait()
                self.go_round(exchanges)
                await asyncio.sleep(AT_MOST_EVERY_SECONDS)

    async def finish(self) -> None:
        """Send what the last requests of this worker told, once each rollout; call it when nobody else goes round.

        What the store does not take within its own time is lost with this worker: that makes a verdict later, never
        wrong.
        """
        async with asyncio.TaskGroup() as exchanges:
            for trial, correspondence in self._correspondences():
                trial.pass_time(inf)
                exchanges.create_task(correspondence.send_all())

    def go_round(self, exchanges: asyncio.TaskGroup) -> None:
        """Look at every rollout once, and start what is due with the store in *exchanges*."""
        now = time.monotonic()
        for trial, correspondence in self._correspondences():
            trial.pass_time(now)
            correspondence.look()
            if not correspondence.is_busy:
                exchanges.create_task(correspondence.go_on())

    def _correspondences(self) -> Sequence[tuple[Trial, Correspondence]]:
        """Return the trials that are under way, each with its one correspondence."""
        under_way = self._trials.under_way
        self._open = {model: each for model, each in self._open.items() if under_way.get(model) is each[0]}
        for model, trial in under_way.items():
            if model not in self._open:
                made = Correspondence(trial, self._store, self._reverter, self._worker, self._numbers)
                self._open[model] = trial, made
        return list(self._open.values())

    async def _wait(self) -> None:
        """Return when something stirs, or the next round is due; without a rollout there is none."""
        stirred = self._trials.stirred
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stirred.wait(), EVERY_SECONDS if self._trials.under_way else None)
        stirred.clear()
