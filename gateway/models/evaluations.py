"""How a version did when it was last evaluated: ``evaluation.json`` beside ``model.onnx``.

A version is immutable, and what is found out about it later is not part of it: the file lies outside every digest, no
worker looks at it, and the newest evaluation takes the place of the one before. It names the SHA-256 of the model that
was asked, so that one about other bytes is never taken for this version's. Blocks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.core.errors import InvalidModel
from gateway.models.files import open_regular
from gateway.models.publishing import locked, overwrite

if TYPE_CHECKING:
    from pathlib import Path

EVALUATION_FILE: Final = "evaluation.json"
MAX_BYTES: Final = 256 * 1024
FORMAT: Final = 1
"""Of the file. A release that finds a higher one does not guess what it says."""


class InvalidEvaluation(ValueError):
    """The file cannot be read as an evaluation; evaluate the version again."""


class GateResult(msgspec.Struct, frozen=True):
    """How one gate turned out: what was compared, None where that is not known, and then *why* not."""

    gate: str
    value: float | None
    passed: bool
    why: str = ""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation of one version.

    *passed* is None where no gates were asked for. *data* holds name, digest, target and rows of what it was asked;
    *scores* what it reached, without what could not be known; *baseline* the version that it was compared with.
    """

    format: int
    sha256: str
    created: str
    passed: bool | None
    gates: tuple[GateResult, ...] = ()
    scores: dict[str, float] = {}
    data: dict[str, str | int] = {}
    baseline: int | None = None

    def is_of(self, sha256: str) -> bool:
        """Say whether it was the model file with this digest that was asked."""
        return self.sha256 == sha256.lower()


def write_evaluation(directory: Path, evaluation: Evaluation) -> None:
    """Put *evaluation* beside its version, whole or not at all. Raises OSError, and ValueError if too large."""
    content = msgspec.json.format(msgspec.json.encode(evaluation), indent=2)
    if len(content) > MAX_BYTES:
        raise ValueError(f"the evaluation has {len(content)} bytes and may have {MAX_BYTES}; ask for fewer gates")
    with locked(directory.parent):
        overwrite(directory, {EVALUATION_FILE: content})


def read_evaluation(directory: Path) -> Evaluation | None:
    """Return the evaluation in a version's *directory*, None where there is none. Raises InvalidEvaluation."""
    path = directory / EVALUATION_FILE
    if not os.path.lexists(path):
        return None
    try:
        with open_regular(path, max_bytes=MAX_BYTES) as (descriptor, _):
            content = os.read(descriptor, MAX_BYTES + 1)
        found = msgspec.json.decode(content, type=Evaluation)
    except InvalidModel as exc:
        raise InvalidEvaluation(f"{path}: {exc.reason}; evaluate the version again") from exc
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidEvaluation(f"{path} is no evaluation ({exc}); evaluate the version again") from exc
    if found.format != FORMAT:
        raise InvalidEvaluation(f"{path} is of format {found.format}, and this release reads {FORMAT}; evaluate again")
    return found


def has_passed(directory: Path, sha256: str) -> tuple[bool, str]:
    """Say whether the version in *directory*, whose model file has this *sha256*, passed its gates, and why not.

    For whoever demands it before traffic moves: a missing, unreadable, foreign or ungated evaluation is not a pass.
    """
    try:
        found = read_evaluation(directory)
    except InvalidEvaluation as exc:
        return False, str(exc)
    if found is None:
        return False, "it was not evaluated; run `gateway models evaluate` with --gates"
    if not found.is_of(sha256):
        return False, "its evaluation is of another model file; evaluate it again"
    if found.passed is None:
        return False, "it was evaluated without gates; run `gateway models evaluate` with --gates"
    failed = [_shown(each) for each in found.gates if not each.passed]
    return found.passed, f"it failed {', '.join(failed)}" if failed else ""


def _shown(result: GateResult) -> str:
    return f"{result.gate!r} ({result.why or f'{result.value:.6g}'})"
