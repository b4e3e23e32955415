"""Compares what every version is asked and answers with its reference, from the samples that the workers of the whole
fleet leave in the store.

All of it is in this process and is rebuilt from the store at a start: the samples of the last minutes are read again.
Every control process does so and shows it; what has to be told is told by the one that has the model's lease, and what
had drifted already when this one started is not told again. The comparison is in ``core.drift``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from gateway.control.rollout_writes import WHO
from gateway.core.drift import State, VersionDrift
from gateway.core.drift_counts import read_sample
from gateway.core.errors import InvalidDocument, StoreUnavailable
from gateway.core.notification import Kind, noticed
from gateway.core.reference import LIVE, Reference, folded, frozen, read_reference
from gateway.ports.store import SAMPLES_AT_ONCE, SAMPLES_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.control.operations import Operations
    from gateway.control.route_reader import CurrentRoute
    from gateway.core.drift import ColumnFinding
    from gateway.core.drift_counts import Sample
    from gateway.core.drift_plan import DriftPlan
    from gateway.ports.store import Store

    Findings = Mapping[str, Mapping[int, Sequence[ColumnFinding]]]
    References = Callable[[str, int, str], Reference | None]
    """Model, version, SHA-256 of its file → what lies beside it; may block."""

log = logging.getLogger(__name__)

FIRST_ROWS: Final = 1_000
"""A version without a file has so many of its first requests as its reference."""
TOLD_COLUMNS: Final = 3


@dataclass(slots=True)
class Watched:
    """One version under watch. *first*: column → bin → rows while there is no reference; then *drift* is set."""

    digest: str
    seen_at: float
    drift: VersionDrift | None = None
    first: dict[str, dict[int, int]] = field(default_factory=dict)
    first_rows: int = 0
    has_drifted: bool = False


class DriftBoard:
    """Implements ``ports.DriftMetrics`` but for the anomalies. Somebody calls ``tick`` about once a second."""

    def __init__(
        self,
        operations: Operations,
        store: Store,
        references: References,
        holder: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*holder* names this process in leases, as the controller does."""
        self._operations = operations
        self._store = store
        self._references = references
        self._holder = holder
        self._clock = clock
        self._last: dict[str, str] = {}
        self._caught_up: set[str] = set()
        self._watched: dict[str, dict[int, Watched]] = {}
        self._findings: Findings = {}
        self._rows: Mapping[str, Mapping[int, int]] = {}
        """What is shown, replaced whole at each tick: a scrape reads it in a thread of its own."""

    def findings(self) -> Findings:
        """Return model → version → what is known of its columns, those that the route ignores marked so."""
        return self._findings

    def of(self, model: str) -> Mapping[int, Sequence[ColumnFinding]]:
        """Return version → what is known of its columns."""
        return self._findings.get(model, {})

    def rows(self) -> Mapping[str, Mapping[int, int]]:
        """Return model → version → rows that were compared, and before there is a reference those that make it."""
        return self._rows

    def reference(self, model: str, version: int) -> Reference | None:
        """Return what a version is compared with; None while there is nothing."""
        watched = self._watched.get(model, {}).get(version)
        return watched.drift.reference if watched is not None and watched.drift is not None else None

    async def tick(self) -> None:
        """Take what came since the last call, and tell what drifted by it. Without the store nothing is known anew."""
        models = self._operations.models()
        try:
            found = await self._store.samples({model: self._last.get(model, "") for model in models})
            for model, samples in found.items():
                for name, payload in samples:
                    await self._take(model, payload)
                    self._last[model] = name
            self._forget(models)
            routes = await self._operations.routes(list(found))
            self._show({model: routes.of(model) for model in found})
            for model in found:
                for version, findings in self.of(model).items():
                    await self._tell_of(model, version, routes.of(model).revision, findings)
        except StoreUnavailable as exc:
            log.debug("drift is not looked at until the store answers: %s", exc)
            return
        self._caught_up |= {model for model in models if len(found.get(model, ())) < SAMPLES_AT_ONCE}

    async def _take(self, model: str, payload: bytes) -> None:
        try:
            sample = read_sample(payload)
        except InvalidDocument as exc:
            log.warning("a sample of %r in the store is left out: %s", model, exc)
            return
        watched = self._watched.setdefault(model, {}).get(sample.version)
        if watched is None or watched.digest != sample.digest:
            watched = self._watched[model][sample.version] = Watched(sample.digest, self._clock())
        watched.seen_at = self._clock()
        if sample.bins:
            await self._compare(model, watched, sample)
        else:
            await self._compare_live(model, watched, sample)

    async def _compare(self, model: str, watched: Watched, sample: Sample) -> None:
        """Take a sample in the bins of the file beside the version."""
        if watched.drift is None or watched.drift.bins != sample.bins:
            found = await asyncio.to_thread(self._references, model, sample.version, sample.digest)
            if found is None or found.id != sample.bins:
                return  # the file is another one by now, and so will be the next sample
            watched.drift = VersionDrift(found)
            watched.has_drifted = False
        sizes = {column.name: len(column.counts) for column in watched.drift.reference.columns}
        counts = {name: _dense(found, sizes[name]) for name, found in sample.counts.items() if name in sizes}
        watched.drift.look(counts, sample.rows)

    async def _compare_live(self, model: str, watched: Watched, sample: Sample) -> None:
        """Take a sample in fine bins, of a version without a file; one that has it by now is about to use it."""
        if watched.drift is not None and watched.drift.reference.source != LIVE:
            if await asyncio.to_thread(self._references, model, sample.version, sample.digest) is not None:
                return
            watched.drift = None
        if watched.drift is None:
            kept = b"" if watched.first_rows else await self._kept(model, watched, sample)
            if not kept:
                await self._learn(model, watched, sample)
                return
            watched.drift = _compared_with(model, kept)
        drift = watched.drift
        if drift is not None:
            known = {column.name: column for column in drift.reference.columns}
            drift.look({n: folded(found, known[n]) for n, found in sample.counts.items() if n in known}, sample.rows)

    async def _learn(self, model: str, watched: Watched, sample: Sample) -> None:
        """Let *sample* be one of the first; with enough of them keep what they make as the reference."""
        for name, found in sample.counts.items():
            column = watched.first.setdefault(name, {})
            for number, many in found.items():
                column[number] = column.get(number, 0) + many
        watched.first_rows += sample.rows
        if watched.first_rows >= FIRST_ROWS:
            made = frozen(watched.first, watched.first_rows, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
            kept = await self._kept(model, watched, sample, made.encoded())
            watched.drift = _compared_with(model, kept) or VersionDrift(made)
            watched.first = {}

    async def _kept(self, model: str, watched: Watched, sample: Sample, made: bytes = b"") -> bytes:
        return await self._store.keep_reference(model, sample.version, watched.digest, made)

    def _forget(self, models: Sequence[str]) -> None:
        """Drop models that are gone, and versions of which nothing was heard for as long as samples are kept."""
        now = self._clock()
        self._watched = {
            model: {number: each for number, each in found.items() if now - each.seen_at < SAMPLES_SECONDS}
            for model, found in self._watched.items()
            if model in models
        }

    def _show(self, news: Mapping[str, CurrentRoute]) -> None:
        """Show what is known now; *news* are the routes of the models of which something came."""
        findings = {}
        for model, watched in self._watched.items():
            if model in news:
                document = news[model].document
                findings[model] = _findings(watched, document.drift if document is not None else None)
            else:
                findings[model] = {number: each for number, each in self.of(model).items() if number in watched}
        self._findings = findings
        self._rows = {
            model: {number: each.first_rows + (each.drift.rows if each.drift else 0) for number, each in found.items()}
            for model, found in self._watched.items()
        }

    async def _tell_of(self, model: str, version: int, revision: int, findings: Sequence[ColumnFinding]) -> None:
        drifted = [each for each in findings if each.state is State.DRIFTED]
        watched = self._watched[model][version]
        was, watched.has_drifted = watched.has_drifted, bool(drifted)
        if not drifted or was or model not in self._caught_up:
            return
        drifted.sort(key=lambda each: -each.psi)
        others = f"; and {len(drifted) - TOLD_COLUMNS} more" if len(drifted) > TOLD_COLUMNS else ""
        reason = "; ".join(each.text for each in drifted[:TOLD_COLUMNS]) + others
        log.warning("version %d of model %r drifted: %s", version, model, reason, extra={"model": model})
        if await self._store.lease(model, self._holder):
            await self._store.tell(noticed(Kind.DRIFTED, model, revision, actor=WHO, reason=reason, version=version))


def _compared_with(model: str, kept: bytes) -> VersionDrift | None:
    try:
        return VersionDrift(read_reference(kept))
    except InvalidDocument as exc:
        log.warning("a reference of %r in the store is left out: %s", model, exc)
        return None


def _dense(counts: Mapping[int, int], size: int) -> list[int]:
    return [counts.get(number, 0) for number in range(size)]


def _findings(watched: Mapping[int, Watched], plan: DriftPlan | None) -> dict[int, Sequence[ColumnFinding]]:
    return {
        number: [_marked(each, plan) for each in known.drift.findings()]
        for number, known in sorted(watched.items())
        if known.drift is not None
    }


def _marked(finding: ColumnFinding, plan: DriftPlan | None) -> ColumnFinding:
    if plan is None or finding.column not in plan.ignore or finding.state is not State.DRIFTED:
        return finding
    return replace(finding, state=State.IGNORED)
