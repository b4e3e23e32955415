"""``learner.yaml``: what learns, from when on it is believed, and how what it learned goes out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.learning import Backoff, Gate, Schedule
from gateway.core.members import at, check_choice, members_of, shown, text_of
from gateway.core.plan import read_plan
from gateway.core.quantities import percent_of, seconds_of
from gateway.learning.errors import CannotLearn
from gateway.learning.estimators import CLUSTERING, KINDS, STRATEGIES, TASKS
from gateway.strict_yaml import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MEMBERS: Final = (
    "model", "task", "classes", "learner", "parameters", "scale", "start", "strategy", "window", "mini_batch",
    "warm_up", "publish", "gate", "hold_out", "backoff", "rollout",
)  # fmt: skip
MOST_CLASSES: Final = 1_000
MOST_ROWS: Final = 100_000
"""Rows that a window keeps: each step of learning writes them to the disk."""


@dataclass(frozen=True, slots=True)
class HoldOut:
    """*share* of all answers is never learned; the last *rows* rows of them judge what would be published."""

    share: float
    rows: int


@dataclass(frozen=True, slots=True)
class LearnerDocument:
    """The whole document. *classes* is empty for numbers; *rollout* is the plan as it is written, found readable."""

    model: str
    task: str
    classes: tuple[int, ...] | tuple[str, ...]
    learner: str
    parameters: Mapping[str, Any]
    scale: bool
    start: str
    strategy: str
    window: int
    mini_batch: int
    warm_up: int
    schedule: Schedule
    gate: Gate
    error_scale: float
    hold_out: HoldOut
    backoff: Backoff
    rollout: Mapping[str, Any]
    written: Mapping[str, Any]
    """As it was read, for the metadata of what is published."""


def read_file(path: Path) -> LearnerDocument:
    """Return what the file at *path* says. Raises CannotLearn, naming the file and the place in it."""
    try:
        return read(read_document(path.read_bytes()))
    except OSError as exc:
        raise CannotLearn(f"{path} cannot be read: {exc.strerror}; name the learner's document with --learner") from exc
    except (ValueError, InvalidDocument) as exc:
        raise CannotLearn(f"{path}: {exc}") from exc


def read(data: object) -> LearnerDocument:
    """Return what *data*, read from YAML, describes. Raises InvalidDocument."""
    found = members_of(data, MEMBERS, needed=("model", "task", "learner", "gate", "publish", "rollout"), what="learner")
    with at("model"):
        model = text_of(found["model"])
    task = _choice(found, "task", TASKS)
    kind = _choice(found, "learner", tuple(name for name, each in KINDS.items() if task in each))
    strategy = _choice({"strategy": "incremental"} | dict(found), "strategy", STRATEGIES)
    if strategy == "incremental" and not KINDS[kind][task].is_incremental:
        raise InvalidDocument("learner", f"{shown(kind)} cannot learn row by row; write strategy: batch")
    if task == CLUSTERING:
        _check_clustering(found)
    with at("hold_out"):
        hold_out, held_least = _hold_out(found.get("hold_out", {}))
    with at("gate"):
        gate, error_scale = _gate(found["gate"], task, held_least)
    with at("rollout"):
        read_plan(found["rollout"])
    with at("publish"):
        schedule = _schedule(found["publish"])
    with at("backoff"):
        backoff = _backoff(found.get("backoff", {}))
    return LearnerDocument(
        model, task, _classes(found, task), kind, _parameters(found.get("parameters", {})),
        _switch(found, "scale", default=True), _start(found), strategy,
        _whole(found, "window", 5_000, 10, MOST_ROWS), _whole(found, "mini_batch", 64, 1, 1_000),
        _whole(found, "warm_up", 100, 0, 1_000_000), schedule, gate, error_scale, hold_out, backoff,
        found["rollout"], found,
    )  # fmt: skip


def _classes(found: Mapping[str, Any], task: str) -> tuple[int, ...] | tuple[str, ...]:
    """Return the classes: whole numbers, or texts, as the serving version's output ``label`` has them."""
    given = found.get("classes")
    if task != "classification":
        if given is not None:
            raise InvalidDocument("classes", "belong to task: classification; leave them out")
        return ()
    kinds = {type(each) for each in given} if isinstance(given, list) else set()
    if not isinstance(given, list) or not 2 <= len(given) <= MOST_CLASSES or kinds not in ({int}, {str}):
        reason = f"is no list of 2 to {MOST_CLASSES} whole numbers, or of as many texts; write such as [0, 1]"
        raise InvalidDocument("classes", reason)
    if len(set(given)) < len(given):
        raise InvalidDocument("classes", "names a class twice; write each once")
    return tuple(sorted(given))


def _check_clustering(found: Mapping[str, Any]) -> None:
    """Raise InvalidDocument for what would have clusters begin with nothing: their numbers would be others."""
    if "start" not in found:
        reason = "is missing; clusters go on from the fitted .skops that the serving version was converted from"
        raise InvalidDocument("start", reason)
    for name in ("parameters", "scale"):
        if name in found:
            raise InvalidDocument(name, "belongs to a pipeline that begins with nothing; leave it out of clustering")


def _gate(data: object, task: str, held_least: int) -> tuple[Gate, float]:
    has_scale = task != "classification"
    needed = ("by", "error_scale") if has_scale else ("by",)
    found = members_of(data, ("by", "alpha", "least", "error_scale"), needed=needed, what="gate")
    with at("by"):
        by = percent_of(found["by"], least=0.0, most=0.99)
    with at("alpha"):
        alpha = percent_of(found.get("alpha", "5%"), least=0.0001, most=0.5)
    if not has_scale and "error_scale" in found:
        raise InvalidDocument("error_scale", "belongs to task: regression or clustering; leave it out")
    gate = Gate(by, alpha, _whole(found, "least", 200, 10, 1_000_000), held_least)
    return gate, _positive(found, "error_scale") if has_scale else 1.0


def _hold_out(data: object) -> tuple[HoldOut, int]:
    """Return what is held out, and how many rows of it are needed; a share of 0% holds out none and needs none."""
    found = members_of(data, ("share", "rows", "least"), what="hold_out")
    with at("share"):
        share = percent_of(found.get("share", "10%"), least=0.0, most=0.5)
    rows = _whole(found, "rows", 200, 10, MOST_ROWS)
    least = _whole(found, "least", min(50, rows), 1, rows)
    return HoldOut(share, rows), least if share else 0


def _schedule(data: object) -> Schedule:
    found = members_of(data, ("labels", "every", "on_change", "on_drift"), what="publish")
    with at("every"):
        seconds = seconds_of(found["every"]) if "every" in found else 0
    labels = _whole(found, "labels", 0, 1, 10_000_000) if "labels" in found else 0
    on_change, on_drift = (_switch(found, name, default=False) for name in ("on_change", "on_drift"))
    schedule = Schedule(labels, seconds, on_change, on_drift)
    if schedule == Schedule():
        raise InvalidDocument("", "would never publish; write labels, every, on_change or on_drift")
    return schedule


def _backoff(data: object) -> Backoff:
    found = members_of(data, ("first", "most"), what="backoff")
    with at("first"):
        first = seconds_of(found.get("first", "10m"))
    with at("most"):
        most = seconds_of(found.get("most", "24h"))
    if most < first:
        raise InvalidDocument("most", "is shorter than first; write at least as long a time")
    return Backoff(first, most)


def _parameters(data: object) -> Mapping[str, Any]:
    """Return parameters of the estimator that are plain values: scikit-learn checks them when it first learns."""
    if not isinstance(data, dict) or any(isinstance(each, dict | list) for each in data.values()):
        raise InvalidDocument("parameters", "is no mapping of plain values; write such as {alpha: 0.001}")
    return data


def _start(found: Mapping[str, Any]) -> str:
    with at("start"):
        start = text_of(found["start"]) if "start" in found else ""
    if start and not start.endswith(".skops"):
        raise InvalidDocument("start", f"{shown(start)} is no .skops file; save the fitted pipeline with skops")
    return start


def _choice(found: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    with at(name):
        check_choice(found[name], choices)
    return str(found[name])


def _whole(found: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = found.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise InvalidDocument(name, f"{shown(value)} is no whole number from {least} to {most}; write one")
    return value


def _positive(found: Mapping[str, Any], name: str) -> float:
    value = found[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
        raise InvalidDocument(name, f"{shown(value)} is no number above 0; write one")
    return float(value)


def _switch(found: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = found.get(name, default)
    if not isinstance(value, bool):
        raise InvalidDocument(name, f"{shown(value)} is neither true nor false; write one of them")
    return value


def as_text(document: LearnerDocument) -> str:
    """Return the document as one line of JSON, the same for the same document."""
    return json.dumps(document.written, sort_keys=True, separators=(",", ":"))
