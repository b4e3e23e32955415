"""The rollouts that are under way, as this worker sees them: what it counted of each, and its canaries' breakers.

A trial outlives the revisions of its rollout; each has its own tallies, and a request that ends late counts for the
revision it was dispatched under. Nothing here talks to the store: ``evidence.py`` sends what is counted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.core.breaker import LOCAL_SHARE_OF_ALPHA, Breaker
from gateway.core.evidence import Counter, Evidence
from gateway.core.judgement import judge_one
from gateway.core.slots import seats
from gateway.core.verdicts import Kind
from gateway.serving.outputs import OutputSample, forms_of
from gateway.serving.run_times import RunTimes
from gateway.serving.tallies import Tally
from gateway.serving.windows import BatchWindows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.core.evidence import Shares
    from gateway.core.rollout import Rollout
    from gateway.core.routing import Routing
    from gateway.models.answers import Form
    from gateway.serving.batching import Lane

SAMPLE_MASK: Final = 15
"""Of a sticky route's keys those whose point ends in four zero bits stand for all in the check of the assignment."""

SEEN_KEYS: Final = 10_000
"""So many keys of a kind are remembered; whoever comes later is not counted. The store keeps the same number."""


class Canary:
    """One candidate of a rollout in this worker: its breaker, and how much was seen that speaks against it."""

    __slots__ = ("breaker", "runs", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.breaker = Breaker()
        self.runs = 0
        """How many bad or slow runs of it were seen here."""

    def asks_a_probe(self, now: float) -> bool:
        """Say whether a unit of the canary goes through the open breaker at *now*, seconds of the loop's clock.

        Then it ends in ``probed``; the others are answered by the baseline.
        """
        if not self.breaker.may_probe(now):
            return False
        self.breaker = self.breaker.with_probe()
        return True

    def probed(self, good: bool | None) -> None:
        """A probe has ended; None where it told nothing."""
        self.breaker = self.breaker.after_probe(good)


class Trial:
    """One rollout in this worker."""

    def __init__(self, model: str, rollout: Rollout, stirred: asyncio.Event) -> None:
        """*stirred* is set when something happened that should not wait."""
        self.model = model
        self.rollout = rollout
        self.revision = 0
        self.is_sticky = False
        self.canaries: dict[int, Canary] = {}
        """Its candidates by version, those that left it included."""
        self.windows = BatchWindows()
        self.times = RunTimes(rollout.baseline)
        self.sightings: list[tuple[Counter, tuple[int, ...]]] = []
        """Failed runs, and sampled keys, of a sticky route that were not sent yet."""
        self._stirred = stirred
        self._shares: dict[int, Shares] = {}
        self._tallies: dict[tuple[int, int], Tally] = {}
        self._seen: dict[str, set[int]] = {}
        self._forms: dict[int, Form] = {}
        self._samples: dict[tuple[int, int], OutputSample] = {}

    def follow(self, rollout: Rollout, revision: int, routing: Routing, lanes: Mapping[int, Lane]) -> None:
        """The route is at *revision* now, seated by *routing* and answered by *lanes*."""
        self.rollout = rollout
        self.revision = revision
        self.is_sticky = routing.source is not None
        for version in rollout.candidates:
            canary = self.canaries.setdefault(version, Canary(version))
            canary.breaker = canary.breaker.at_revision(revision)
        self.windows.follow({version: lanes.get(version) for version in rollout.live}, lanes.get(rollout.baseline))
        self._shares[revision] = seats(routing.document.split)
        self._forms = _forms(rollout, lanes)

    def tally(self, version: int) -> Tally:
        """Return the tally of *version* under the current revision."""
        return self._tally(self.revision, version)

    def _tally(self, revision: int, version: int) -> Tally:
        found = self._tallies.get((revision, version))
        if found is None:
            found = self._tallies[revision, version] = Tally(revision, version, self)
        return found

    def outputs(self, version: int) -> OutputSample | None:
        """Return where good answers of *version* under the current revision are left; None where none are wanted.

        A canary's numbers are none before there are bins for them.
        """
        form, deciles = self._forms.get(version), self.rollout.deciles
        if form is None or (form.kind == "numbers" and not deciles and version != self.rollout.baseline):
            return None
        key = self.revision, version
        if key not in self._samples:
            self._samples[key] = OutputSample(form, deciles)
        return self._samples[key]

    # ---- what requests tell

    def sample(self, tally: Tally, point: int) -> None:
        """Count the key of *point*, which the split gave to a version, if it is of the sample, and once."""
        if not point & SAMPLE_MASK and self._is_new("assigned", (point,)):
            self.sightings.append((Counter(tally.revision, tally.version, "assigned"), (point,)))

    def paired(self, revision: int, version: int, *, differs: bool) -> None:
        """Count a shadow pair of *version*, of a request that was dispatched under *revision*."""
        tally = self._tally(revision, version)
        tally.pair_n += 1
        tally.differ += differs

    def happened(self, tally: Tally, kind: str, points: Sequence[int]) -> None:
        """Count a failed run, on a sticky route if one of its keys was not seen failing before."""
        canary = self.canaries.get(tally.version)
        if canary is not None:
            canary.breaker = canary.breaker.after_failure(asyncio.get_running_loop().time())
        if self._count(tally, kind, self.windows.batch_class(), points) and canary is not None:
            self._stirred.set()

    def pass_time(self, now: float) -> None:
        """Count what was answered, and the slow runs of a window that is over at *now*.

        *now* is seconds of a monotonic clock.
        """
        for (revision, version), sample in self._samples.items():
            self._tally(revision, version).answered(sample.read())
        batch_class = self.windows.pass_time(now)
        if batch_class is None:
            return
        for slow in self.times.close():
            for kind in slow.kinds:
                self._count(slow.tally, kind, batch_class, slow.points)

    def died(self, version: int) -> None:
        """Count a worker that died while it ran the canary *version*."""
        self.tally(version).deaths += 1

    def _count(self, tally: Tally, kind: str, batch_class: int, points: Sequence[int]) -> bool:
        """Count an event of a run and return True, or False where all its keys had one of this kind before."""
        counter = Counter(tally.revision, tally.version, kind, batch_class)
        if self.is_sticky:
            if not self._is_new(kind, points):
                return False
            self.sightings.append((counter, tuple(points)))
        tally.runs[counter] = tally.runs.get(counter, 0) + 1
        if tally.version in self.canaries:
            self.canaries[tally.version].runs += 1
        return True

    # ---- what is made of it

    def counts(self) -> dict[Counter, int]:
        """Return all that was counted so far, but for what is sent as sightings."""
        found = {counter: count for tally in self._tallies.values() for counter, count in tally.fields() if count}
        if not self.is_sticky:
            for tally in self._tallies.values():
                found |= tally.runs
        return found

    def judge_alone(self, canary: Canary) -> None:
        """Open its breaker where what this worker saw of *canary* under this revision is damning by itself."""
        if canary.breaker.revision is not None:
            return
        own = [tally for tally in self._tallies.values() if tally.revision == self.revision]
        evidence = Evidence(_all_counts(own), {self.revision: self._shares[self.revision]})
        verdict = judge_one(evidence, self.rollout, canary.version, share_of_alpha=LOCAL_SHARE_OF_ALPHA)
        if verdict.kind is Kind.FAIL:
            canary.breaker = canary.breaker.after_verdict(self.revision)

    def _is_new(self, kind: str, points: Iterable[int]) -> bool:
        """Remember *points*, and say whether one of them was new."""
        seen = self._seen.setdefault(kind, set())
        before = len(seen)
        for point in points:
            if len(seen) < SEEN_KEYS:
                seen.add(point)
        return len(seen) > before


class Trials:
    """All of them, by model."""

    def __init__(self, lost: Sequence[tuple[str, str]] = ()) -> None:
        """*lost*: models and versions that the worker whose place this one takes was running when it crashed."""
        self._lost = list(lost)
        self.under_way: dict[str, Trial] = {}
        self.stirred = asyncio.Event()
        """Set when something happened that should not wait."""

    def adopt(
        self, rollout: Rollout | None, revision: int, routing: Routing, lanes: Mapping[int, Lane]
    ) -> Trial | None:
        """Return the trial of the route that is served from now on; None, and what was counted is dropped, without."""
        model = routing.document.model
        lost = self._take_lost(model) if revision else frozenset()
        if rollout is None:
            self.under_way.pop(model, None)
            return None
        trial = self.under_way.get(model)
        if trial is None or trial.rollout.id != rollout.id:
            trial = self.under_way[model] = Trial(model, rollout, self.stirred)
        trial.follow(rollout, revision, routing, lanes)
        for version in rollout.live:
            if str(version) in lost:
                trial.died(version)
        self.stirred.set()
        return trial

    def _take_lost(self, model: str) -> frozenset[str]:
        """Return the versions of *model* that were lost, once: to the first route that a store gave, and no later."""
        mine = frozenset(version for lost, version in self._lost if lost == model)
        self._lost = [each for each in self._lost if each[0] != model]
        return mine


def _forms(rollout: Rollout, lanes: Mapping[int, Lane]) -> dict[int, Form]:
    """Return version → what is counted of its outputs: of candidates that are here and can be compared, and of the
    baseline where there is one of those."""
    found: dict[int, Form] = {}
    baseline = lanes.get(rollout.baseline)
    for version in rollout.live:
        lane = lanes.get(version)
        forms = forms_of(baseline.version.signature, lane.version.signature) if baseline and lane else None
        if forms is not None:
            found |= zip((rollout.baseline, version), forms, strict=True)
    return found


def _all_counts(tallies: Iterable[Tally]) -> dict[Counter, int]:
    found: dict[Counter, int] = {}
    for tally in tallies:
        found |= dict(tally.fields()) | tally.runs
    return found
