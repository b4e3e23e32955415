"""What the versions of this worker are asked and answer, as counts by bin: a sample of it, read beside the requests.

A lane leaves a row of a request here while there is room, which is a check of one attribute per batch when there is
none. Every EVERY_SECONDS what was left is counted at once and sent as one message. Of a request with many rows one is
taken, in turn, so that what is compared are requests: rows of one request are seldom independent. Nothing is judged
here, and no row outlives the count: ``core.drift`` compares.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.core.drift_counts import Sample
from gateway.core.errors import StoreUnavailable
from gateway.core.reference import PREDICTION, Reference
from gateway.core.signature import FREE
from gateway.models.answers import form_of
from gateway.models.counting import Counting, places_of
from gateway.serving.outputs import OutputSample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.core.signature import Signature
    from gateway.core.vocabulary import Vocabulary
    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor
    from gateway.ports.store import DriftStore
    from gateway.serving.jobs import Job, Result

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 2.0
ROWS: Final = 128
"""Requests of a version that are taken between two messages."""
ROWS_WITHOUT: Final = 32
"""The same while it has no reference: its counts are then in fine bins, and the message many times longer."""


class RequestSample:
    """The requests of one version that were not counted yet. *room*: how many more are taken; none before ``use``."""

    __slots__ = (
        "_answers", "_bins", "_counting", "_form", "_held", "_places", "_turn", "is_used", "reference", "room",
        "version", "vocabularies",
    )  # fmt: skip

    def __init__(self, version: LoadedVersion) -> None:
        signature = version.signature
        self.version = version
        self.reference: Reference | None = None
        self.vocabularies: Mapping[int, Vocabulary] = {}
        """Place of an input → the words that the version knows of its texts; whoever calls ``use`` sets it before."""
        self.is_used = False
        self._places = places_of(signature) if _is_by_row(signature) else ()
        self._form = form_of(signature) if self._places else None
        self._held: list[tuple[Tensor, ...]] = []
        self._turn = 0
        self.room = 0
        self._prepare(None)

    @property
    def has_texts(self) -> bool:
        """Say whether any column is of texts."""
        return any(place.is_text for place in self._places)

    def use(self, reference: Reference | None) -> None:
        """Take requests, and count in the bins of *reference* from now on; what was left before is dropped."""
        self.is_used = True
        self._prepare(reference)
        self._empty()

    def take(self, batch: Sequence[Job], results: Sequence[Result]) -> None:
        """Take a row of each request of *batch* that was answered, while there is room."""
        for job, result in zip(batch, results, strict=True):
            if self.room and job.rows and not isinstance(result, Exception):
                self.room -= 1
                if job.rows == 1:
                    self._held.append(job.feeds)
                    if self._answers is not None:
                        self._answers.take(result)
                else:
                    self._take_one_of(job.rows, job.feeds, result)

    def read(self) -> Sample | None:
        """Return what was counted since the last call; None for nothing."""
        held, rows = self._held, len(self._held)
        answers = self._answers.read() if self._answers is not None else {}
        self._empty()
        if not rows:
            return None
        tensors = [np.concatenate(parts) for parts in zip(*held, strict=True)]
        counts = self._counting.counts(tensors)
        if answers:
            counts[PREDICTION] = {int(kind.partition("_")[2]): many for kind, many in answers.items()}
        return Sample(self.version.version, self.version.digest, self._bins, rows, counts)

    def _prepare(self, reference: Reference | None) -> None:
        self.reference = reference
        self._bins = reference.id if reference is not None else ""
        self._counting = Counting(self._places, reference, self.vocabularies)
        column = reference.column(PREDICTION) if reference is not None else None
        edges = column.edges if column is not None else ()
        self._answers = OutputSample(self._form, edges) if self._form is not None else None

    def _take_one_of(self, rows: int, feeds: tuple[Tensor, ...], outputs: Sequence[Tensor]) -> None:
        """Take a copy of one row: the whole request must not be kept for its sake."""
        self._turn = row = (self._turn + 1) % rows
        self._held.append(tuple(feed[row : row + 1].copy() for feed in feeds))
        if self._answers is not None:
            self._answers.take([output[row : row + 1].copy() if output.ndim else output for output in outputs])

    def _empty(self) -> None:
        self._held = []
        if self._places:
            self.room = ROWS if self.reference is not None else ROWS_WITHOUT


class DriftDuty:
    """The task of a worker that counts for all its versions and sends what it counted."""

    def __init__(
        self,
        samples: Callable[[], Iterable[RequestSample]],
        store: DriftStore,
        reference: Callable[[str, int, str], Reference | None],
        vocabularies: Callable[[LoadedVersion], Mapping[int, Vocabulary]],
    ) -> None:
        """*reference*: model, version and digest → the reference, None where there is none; *vocabularies*: version →
        what its text inputs know, by their place. Both may block."""
        self._samples = samples
        self._store = store
        self._reference = reference
        self._vocabularies = vocabularies

    async def run_forever(self) -> None:
        """Go round for ever."""
        while True:
            await self.go_round()
            await asyncio.sleep(EVERY_SECONDS)

    async def go_round(self) -> None:
        """Count and send what was left; a sample that the store does not take is lost."""
        counted = []
        for sample in list(self._samples()):
            try:
                found = sample.read()
            except Exception:  # a model's tensors may be anything: what cannot be counted must not end the others
                log.exception("requests to %s/%d cannot be compared", sample.version.model, sample.version.version)
                sample.room = 0
                continue
            counted.append(sample)
            await self._send(sample, found)
        for sample, known in zip(counted, await asyncio.to_thread(self._references, counted), strict=True):
            if not sample.is_used and sample.has_texts:
                sample.vocabularies = await asyncio.to_thread(self._vocabularies, sample.version)
            if known is not sample.reference or not sample.is_used:
                sample.use(known)

    def _references(self, samples: Sequence[RequestSample]) -> list[Reference | None]:
        """Look for the references of all, which is a file for each; one errand to the thread and not hundreds."""
        versions = [sample.version for sample in samples]
        return [self._reference(each.model, each.version, each.digest) for each in versions]

    async def _send(self, sample: RequestSample, found: Sample | None) -> None:
        if found is None:
            return
        try:
            await self._store.sampled(sample.version.model, found.encoded())
        except StoreUnavailable as exc:
            log.debug("a sample of %r is lost: %s", sample.version.model, exc)


def _is_by_row(signature: Signature) -> bool:
    """Say whether the first axis of every input is that of its rows."""
    return all(spec.shape and spec.shape[0] in (FREE, 1) for spec in signature.inputs)
