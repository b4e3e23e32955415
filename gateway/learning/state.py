"""Everything that a learner knows, as one value and as the bytes of one file.

The file is a zip of three members: numbers and words as JSON, the pipeline as skops writes it, rows as numpy arrays.
None is a pickle. What was learned and how far the stream was read lie in the same file, so that neither can be newer
than the other: that is what makes every label count once.
"""

from __future__ import annotations

import io
import secrets
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from gateway.core.learning import ChangeDetector, Comparison
from gateway.learning import estimators
from gateway.learning.errors import StateUnreadable
from gateway.learning.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD: Final = "head.json"
PIPELINE: Final = "pipeline.skops"
ROWS: Final = "rows.npz"
MAX_BYTES: Final = 1 << 30


class Head(msgspec.Struct, forbid_unknown_fields=True):
    """The numbers and words. Times are seconds since the epoch; versions are 0 where there is none."""

    model: str
    frame: str
    """What the document and the serving version say of rows and pipeline: another frame needs another state."""
    group: str
    """Under which the stream knows what was handed out: a state that is lost is learned again from what is there."""
    learned_to: str = ""
    """The last entry of the stream that is in this state, whether it taught something or not."""
    answers: int = 0
    rows: int = 0
    held_out: int = 0
    not_learned: dict[str, int] = {}
    """Reason → answers that taught nothing."""
    digest: str = ""
    """Of all rows that were learned since the pipeline began, in their order."""
    digested: int = 0
    """So many rows are in the digest."""
    origin: int = 0
    """The version that the document's ``start`` is of: that which served when learning began; 0 without one."""
    base: int = 0
    """The version that the pipeline began with; 0 for one that began with nothing."""
    serving: int = 0
    comparison: Comparison = Comparison()
    detector: ChangeDetector = ChangeDetector()
    is_alarmed: bool = False
    changes: int = 0
    is_drifting: bool = False
    """The gateway found drift of the serving version when it was last asked."""
    has_drifted: bool = False
    """It began to since the comparison's evidence was last forgotten."""
    drifts: int = 0
    labels_since: int = 0
    looked_at: float = 0.0
    attempts: int = 0
    is_publishing: bool = False
    """The last attempt was decided, and its version is not known yet."""
    published: int = 0
    published_at: float = 0.0
    is_started: bool = False
    """The rollout of *published* was accepted."""
    failures: int = 0
    """Versions that were taken back since one was promoted."""
    wait_until: float = 0.0
    because: str = ""
    """What the gate said of what was published last."""
    words: str = "nothing was decided yet"
    """The last decision, for people."""


@dataclass(slots=True)
class State:
    """*window*: rows learned last. *held*: rows never learned, that judge. *pipeline* is a scikit-learn Pipeline."""

    head: Head
    pipeline: Any
    window: Rows
    held: Rows


def new_group() -> str:
    """Return a name that no learner has used, under which the stream is read from its beginning."""
    return f"learner-{secrets.token_hex(8)}"


def encoded(state: State) -> bytes:
    """Return the bytes that ``decoded`` reads."""
    arrays = {f"{place}_{name}": getattr(getattr(state, place), name)
              for place in ("window", "held") for name in ("inputs", "said", "served")}  # fmt: skip
    rows = io.BytesIO()
    np.savez(rows, **arrays)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(HEAD, msgspec.json.encode(state.head))
        archive.writestr(PIPELINE, estimators.written(state.pipeline))
        archive.writestr(ROWS, rows.getvalue())
    return file.getvalue()


def decoded(content: bytes, what: str) -> State:
    """Return what ``encoded`` wrote; *what* names where it lay. Raises StateUnreadable."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(each.file_size for each in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"it would be larger than {MAX_BYTES} bytes")
            head, pipeline, rows = (archive.read(name) for name in (HEAD, PIPELINE, ROWS))
        with np.load(io.BytesIO(rows), allow_pickle=False) as arrays:
            window, held = _rows(arrays, "window"), _rows(arrays, "held")
        return State(msgspec.json.decode(head, type=Head), estimators.read(pipeline, what), window, held)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, msgspec.DecodeError) as exc:
        raise StateUnreadable(
            f"{what} is no state of a learner: {exc}; move the file away, and the learner begins anew"
        ) from exc


def _rows(arrays: Mapping[str, Any], place: str) -> Rows:
    return Rows(*(arrays[f"{place}_{name}"] for name in ("inputs", "said", "served")))
