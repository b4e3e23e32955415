"""Versions of a model asked the same labelled rows, scored, compared with one of them, held against gates, recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.convert import provenance
from gateway.core.errors import InvalidDocument, InvalidModel
from gateway.core.reference import MAX_NAME, read_reference
from gateway.evaluation.asking import ask
from gateway.evaluation.errors import CannotEvaluate
from gateway.evaluation.gates import judge
from gateway.evaluation.labelled import read_labelled
from gateway.evaluation.predictions import Classes, read_predictions
from gateway.evaluation.scores import ClassScores, scores_of
from gateway.evaluation.uncertainty import differences, disagreement
from gateway.models.evaluations import FORMAT, Evaluation, GateResult, write_evaluation
from gateway.models.metadata import Metadata, read_metadata
from gateway.models.references import write_reference
from gateway.models.repository import METADATA_FILE, MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.core.reference import Reference
    from gateway.evaluation.asking import Asked
    from gateway.evaluation.gates import Gate, Gates, Judged
    from gateway.evaluation.labelled import Labelled
    from gateway.evaluation.predictions import Predictions
    from gateway.evaluation.scores import Bin
    from gateway.evaluation.uncertainty import Difference, Disagreement

SECONDS: Final = 300
SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to know of *versions*, the first of them the baseline, by the rows of the file *data*."""

    models: Path
    name: str
    versions: tuple[int, ...]
    data: Path
    target: str | None = None
    gates: Gates | None = None
    seconds: int = SECONDS
    seed: int = SEED


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What is known of one version. *scores* holds NaN for what is not; *differences* are from the baseline."""

    version: int
    asked: Asked
    predictions: Predictions
    scores: dict[str, float]
    classes: dict[str, dict[str, float]]
    bins: tuple[Bin, ...]
    differences: dict[str, Difference]
    disagreement: Disagreement | None
    judged: tuple[Judged, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Say whether no gate failed."""
        return all(each.passed for each in self.judged)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The whole evaluation; the first of *versions* is the baseline where there are several."""

    model: str
    labelled: Labelled
    versions: tuple[Evaluated, ...]
    created: str
    seed: int

    @property
    def baseline(self) -> int | None:
        """The version that the others are compared with; None where there is one alone."""
        return self.versions[0].version if len(self.versions) > 1 else None

    @property
    def passed(self) -> bool:
        """Say whether no gate failed for any version."""
        return all(each.passed for each in self.versions)


def evaluate(wish: Wish) -> Outcome:
    """Return how the versions do. Writes nothing. Raises CannotEvaluate, and what reading the rows raises."""
    _check_gates(wish)
    labelled = read_labelled(wish.data, wish.target)
    asked, found = {}, {}
    for version in wish.versions:
        called = f"{wish.name}/{version}"
        directory = wish.models / wish.name / str(version)
        said = _metadata(directory, called)
        asked[version] = ask(
            directory / MODEL_FILE, labelled.columns, called=called, seconds=wish.seconds, adapter=said.adapter
        )
        found[version] = read_predictions(asked[version].answers, said.classes, labelled, called=called)
    _refuse_mixed(found)
    return Outcome(wish.name, labelled, _compare(wish, labelled, asked, found), provenance.now(), wish.seed)


def record(outcome: Outcome, models: Path) -> None:
    """Write what was found out beside each version. Raises CannotEvaluate where that cannot be written."""
    for each in outcome.versions:
        directory = models / outcome.model / str(each.version)
        try:
            write_evaluation(directory, _evaluation(outcome, each))
            write_reference(directory, _reference(outcome, each))
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            raise CannotEvaluate(
                f"the evaluation of version {each.version} cannot be written to {directory}: {reason}; may this user "
                f"write there, and is there room? --no-record leaves it out"
            ) from exc


def _compare(
    wish: Wish, labelled: Labelled, asked: Mapping[int, Asked], found: Mapping[int, Predictions]
) -> tuple[Evaluated, ...]:
    """Return each version with its scores, its differences from the first, and how its gates turned out."""
    whole = np.ones(labelled.rows)
    scorers = {version: scores_of(each) for version, each in found.items()}
    scores = {version: {**each(whole), **_costs(asked[version])} for version, each in scorers.items()}
    classes = {
        version: each.classes(whole) if isinstance(each, ClassScores) else {} for version, each in scorers.items()
    }
    first = wish.versions[0]
    apart = differences(first, scorers, labelled.rows, wish.seed)
    several = len(wish.versions) > 1
    return tuple(
        Evaluated(
            version, asked[version], found[version], scores[version], classes[version],
            scorer.bins() if isinstance(scorer, ClassScores) else (),
            apart.get(version, {}), disagreement(found[first], found[version]) if version != first else None,
            tuple(
                judge(gate, scores[version], classes[version], (scores[first], classes[first]) if several else None)
                for gate in _gates_of(wish, version)
            ),
            (*_notes(found[version], labelled), *asked[version].notes),
        )
        for version, scorer in scorers.items()
    )  # fmt: skip


def _gates_of(wish: Wish, version: int) -> tuple[Gate, ...]:
    if wish.gates is None:
        return ()
    is_baseline = len(wish.versions) > 1 and version == wish.versions[0]
    return (*(() if is_baseline else wish.gates.every), *wish.gates.of.get(version, ()))


def _check_gates(wish: Wish) -> None:
    """Refuse gates that cannot be judged by these versions, before anything is asked."""
    if wish.gates is None:
        return
    absent = sorted(set(wish.gates.of) - set(wish.versions))
    if absent:
        raise CannotEvaluate(f"the gates name version {absent[0]}, which is not evaluated; add it to --versions")
    if len(wish.versions) == 1 and wish.gates.needs_baseline():
        raise CannotEvaluate("the gates compare with a baseline; name it first in --versions, then the version")


def _metadata(directory: Path, called: str) -> Metadata:
    path = directory / METADATA_FILE
    try:
        return read_metadata(path) if path.exists() else Metadata()
    except InvalidModel as exc:
        raise CannotEvaluate(f"{called}: {exc.reason}") from exc


def _refuse_mixed(found: Mapping[int, Predictions]) -> None:
    kinds = {version: "classes" if isinstance(each, Classes) else "numbers" for version, each in found.items()}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"version {version} answers {kind}" for version, kind in kinds.items())
        raise CannotEvaluate(f"these versions cannot be compared: {told}; evaluate each kind by itself")


def _costs(asked: Asked) -> dict[str, float]:
    return {
        "latency_p50_ms": asked.row.p50_ms,
        "latency_p99_ms": asked.row.p99_ms,
        "batch_latency_p50_ms": asked.batch.p50_ms,
        "batch_latency_p99_ms": asked.batch.p99_ms,
        "load_ms": asked.load_ms,
        "size_bytes": float(asked.size_bytes),
    }


def _notes(found: Predictions, labelled: Labelled) -> list[str]:
    """Return in words why some scores cannot be known."""
    if not isinstance(found, Classes):
        same = len(np.unique(found.right)) == 1
        return [f"all rows have the same {labelled.target_name!r}, so r2 is not known"] if same else []
    notes = (
        [f"{found.why_no_chances}, so roc_auc, log_loss, brier and ece are not known"] if found.why_no_chances else []
    )
    missing = [name for place, name in enumerate(found.names) if not (found.right == place).any()]
    if missing and not found.why_no_chances:
        notes.append(f"no row is of class {', '.join(map(repr, missing[:5]))}, so roc_auc is not known")
    return notes


def _reference(outcome: Outcome, each: Evaluated) -> Reference:
    """Return what the rows and the answers to them looked like. The process that asked is not believed a thing."""
    try:
        found = read_reference(each.asked.reference)
    except InvalidDocument as exc:
        raise CannotEvaluate(
            f"the process that asked version {each.version} left a reference that is none: {exc}; --no-record leaves "
            f"it out"
        ) from exc
    rows = outcome.labelled
    return replace(
        found, rows=rows.rows, source=rows.file[:MAX_NAME], created=outcome.created, sha256=each.asked.sha256,
        digest=f"sha256:{rows.digest}",
    )  # fmt: skip


def _evaluation(outcome: Outcome, each: Evaluated) -> Evaluation:
    known = {name: value for name, value in each.scores.items() if math.isfinite(value)}
    rows = outcome.labelled
    return Evaluation(
        format=FORMAT,
        sha256=each.asked.sha256,
        created=outcome.created,
        passed=each.passed if each.judged else None,
        gates=tuple(GateResult(g.gate, g.value, g.passed, g.why) for g in each.judged),
        scores=known,
        data={"name": rows.file, "digest": f"sha256:{rows.digest}", "target": rows.target_name, "rows": rows.rows},
        baseline=None if each.version == outcome.baseline else outcome.baseline,
    )
