"""A pipeline becomes the next version: converted apart, proven, compared with the version it follows, published once.

An attempt has a name that the version's metadata repeats. A learner that dies between publishing and writing that down
finds the version by that name when it comes back, and makes no second one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.convert.conversion import Wish, convert
from gateway.convert.scratch import scratch_directory
from gateway.core.errors import InvalidModel
from gateway.core.names import version_number
from gateway.learning import estimators
from gateway.models.metadata import read_metadata
from gateway.models.repository import METADATA_FILE, MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from gateway.learning.rows import Columns

    Array = NDArray[Any]

ATTEMPT: Final = "learning_attempt"
"""The member of the metadata that names the attempt."""

SAMPLE_ROWS: Final = 500
"""Rows that the original and the converted model are both asked."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to be published. *sample*: rows float64 [n, columns] that were learned, n at least 1."""

    attempt: str
    pipeline: Any
    sample: Array
    columns: Columns
    serving: int
    relation: str
    known: Mapping[str, Any] = field(default_factory=dict)
    """More members of the metadata: the data, the document, the figures."""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """Which version it became. *failed* is empty, or why no gateway serves it."""

    version: int
    failed: str = ""


class Repository:
    """The versions of *model* below *models*. Blocks: a conversion takes some seconds."""

    def __init__(self, models: Path, model: str) -> None:
        self._models = models
        self._model = model

    def file_of(self, version: int) -> Path:
        """Return the model file of *version*."""
        return self._models / self._model / str(version) / MODEL_FILE

    def publish(self, candidate: Candidate) -> Published:
        """Publish *candidate*, or return what an earlier run made of the same attempt. Raises CannotConvert.

        Then nothing was written: it could not be converted, or callers of the serving version would notice it.
        """
        earlier = self._earlier(candidate.attempt)
        if earlier is not None:
            return earlier
        with scratch_directory() as scratch:
            pipeline = scratch / "pipeline.skops"
            pipeline.write_bytes(estimators.written(candidate.pipeline))
            done = convert(Wish(
                pipeline, self._model, self._models, _sample(scratch, candidate), notes=candidate.notes,
                parents=(f"{self._model}/{candidate.serving}:{candidate.relation}",),
                known={**candidate.known, ATTEMPT: candidate.attempt}, fits=self.file_of(candidate.serving),
            ))  # fmt: skip
        return Published(done.version, done.failed)

    def _earlier(self, attempt: str) -> Published | None:
        for path in sorted((self._models / self._model).glob(f"*/{METADATA_FILE}")):
            version = version_number(path.parent.name)
            if version is not None:
                try:
                    metadata = read_metadata(path)
                except InvalidModel:  # somebody else's, and a gateway says why it is none
                    continue
                if metadata.extra.get(ATTEMPT) == attempt:
                    return Published(version, metadata.failed)
        return None


def _sample(scratch: Path, candidate: Candidate) -> Path:
    """Write the sample as the serving version's inputs are: one matrix, or a column of each name."""
    rows = candidate.sample[-SAMPLE_ROWS:]
    if not candidate.columns.names:
        path = scratch / "sample.npy"
        np.save(path, rows)
        return path
    path = scratch / "sample.csv"
    head = ",".join(_quoted(name) for name in candidate.columns.names)
    lines = [",".join(repr(float(value)) for value in row) for row in rows]
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def _quoted(name: str) -> str:
    return '"' + re.sub('"', '""', name) + '"'
