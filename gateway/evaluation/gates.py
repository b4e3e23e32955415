"""What a version must reach: sentences such as ``f1 >= 0.95`` in a YAML file, and how each turned out.

A gate whose score cannot be known fails, and says why: what nobody can tell is never a pass.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.core.names import version_number
from gateway.evaluation.errors import InvalidGates
from gateway.evaluation.scores import PER_CLASS
from gateway.strict_yaml import read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MAX_BYTES: Final = 64 * 1024
MAX_GATES: Final = 200

SHARES: Final = (
    "accuracy", "precision", "recall", "f1", "precision_weighted", "recall_weighted", "f1_weighted", "roc_auc", "ece",
)  # fmt: skip
"""Scores between 0 and 1, which may be written in percent."""

SCORES: Final = (
    *SHARES, "log_loss", "brier", "mse", "mae", "r2", "latency_p50_ms", "latency_p99_ms", "batch_latency_p50_ms",
    "batch_latency_p99_ms", "load_ms", "size_bytes",
)  # fmt: skip
"""Every score that a gate may name."""

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    "<": lambda value, bound: value < bound,
}

_GATE: Final = re.compile(
    r"(?P<score>[a-z0-9_]+)(?: of (?P<label>\S.*?))?(?: (?P<change>drop|rise))? (?P<sign>>=|<=|>|<) "
    r"(?P<bound>-?[0-9]+(?:\.[0-9]+)?)(?P<percent> ?%)?"
)


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition. *change* is ``drop`` or ``rise`` against the baseline, or empty for the score itself.

    *bound* is in the score's unit; with *is_relative* it is a fraction of the baseline's score.
    """

    text: str
    score: str
    label: str
    change: str
    sign: str
    bound: float
    is_relative: bool


@dataclass(frozen=True, slots=True)
class Gates:
    """What *every* version but the baseline must reach (the only one, where there is no other), and what some must."""

    every: tuple[Gate, ...]
    of: Mapping[int, tuple[Gate, ...]]

    def needs_baseline(self) -> bool:
        """Say whether some gate compares."""
        return any(gate.change for gates in (self.every, *self.of.values()) for gate in gates)


@dataclass(frozen=True, slots=True)
class Judged:
    """How a gate turned out: the *value* that was compared, None where it is not known, and then *why* not."""

    gate: str
    value: float | None
    passed: bool
    why: str = ""


def read_gates(path: Path) -> Gates:
    """Return what the file at *path* asks for. Raises InvalidGates."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise InvalidGates(f"{path} cannot be read: {exc.strerror or exc}; name a file of gates with --gates") from exc
    if len(content) > MAX_BYTES:
        raise InvalidGates(f"{path.name} may have {MAX_BYTES} bytes; write fewer gates")
    return parse_gates(content, path.name)


def parse_gates(content: bytes, file: str) -> Gates:
    """Return the gates in *content*, YAML with the members ``gates`` and ``versions``. Raises InvalidGates."""
    try:
        read = read_document(content)
    except ValueError as exc:
        raise InvalidGates(f"{file}: {exc}") from exc
    if not isinstance(read, dict):
        raise InvalidGates(f"{file}: must be a mapping with the member `gates`, a list such as [accuracy >= 0.95]")
    for name in read:
        if name not in ("gates", "versions"):
            raise InvalidGates(f"{file}: {name}: is not known here; the members are gates and versions")
    every = _list(read.get("gates", []), f"{file}: gates")
    versions = read.get("versions", {})
    if not isinstance(versions, dict):
        raise InvalidGates(f'{file}: versions: must be a mapping of versions to lists, such as {{"2": [f1 >= 0.9]}}')
    of = {}
    for name, given in versions.items():
        number = version_number(name)
        if number is None:
            raise InvalidGates(f"{file}: versions.{name}: is no number of a version; write such as 2")
        of[number] = _list(given, f"{file}: versions.{name}")
    if not every and not any(of.values()):
        raise InvalidGates(f"{file}: holds no gate; write at least one, such as gates: [accuracy >= 0.95]")
    return Gates(every, of)


def judge(
    gate: Gate, scores: Mapping[str, float], classes: Mapping[str, Mapping[str, float]],
    baseline: tuple[Mapping[str, float], Mapping[str, Mapping[str, float]]] | None,
) -> Judged:  # fmt: skip
    """Return how *gate* turns out for a version of these *scores*, and scores per class, against the *baseline*'s."""
    value = _score(gate, scores, classes)
    if gate.change:
        if baseline is None:
            return Judged(gate.text, None, passed=False, why="there is no baseline to compare with; name two versions")
        before = _score(gate, *baseline)
        value = before - value if gate.change == "drop" else value - before
        if gate.is_relative:
            value = value / abs(before) if before else math.nan
    if not math.isfinite(value):
        return Judged(gate.text, None, passed=False, why=_unknown(gate))
    return Judged(gate.text, value, _COMPARE[gate.sign](value, gate.bound))


def _score(gate: Gate, scores: Mapping[str, float], classes: Mapping[str, Mapping[str, float]]) -> float:
    if gate.label:
        return classes.get(gate.label, {}).get(gate.score, math.nan)
    return scores.get(gate.score, math.nan)


def _unknown(gate: Gate) -> str:
    where = f" of class {gate.label!r}" if gate.label else ""
    return f"{gate.score}{where} is not known of these rows and versions; the table shows what is"


def _list(given: Any, at: str) -> tuple[Gate, ...]:
    if not isinstance(given, list):
        raise InvalidGates(f"{at}: must be a list of conditions, such as [f1 >= 0.9]")
    if len(given) > MAX_GATES:
        raise InvalidGates(f"{at}: has {len(given)} gates and may have {MAX_GATES}")
    return tuple(_gate(each, f"{at}[{place}]") for place, each in enumerate(given))


def _gate(given: Any, at: str) -> Gate:
    """Return the gate that *given* writes: ``SCORE [of CLASS] [drop|rise] SIGN NUMBER [%]``. Raises InvalidGates."""
    found = _GATE.fullmatch(" ".join(given.split())) if isinstance(given, str) else None
    if found is None:
        raise InvalidGates(
            f"{at}: {given!r} is no gate; write SCORE >= NUMBER, or SCORE drop <= NUMBER against the baseline, "
            f"with one of >=, <=, >, < and spaces around it"
        )
    score, label, change = found["score"], found["label"] or "", found["change"] or ""
    if score not in SCORES:
        raise InvalidGates(f"{at}: there is no score {score!r}; write one of {', '.join(SCORES)}")
    if label and score not in PER_CLASS:
        raise InvalidGates(f"{at}: {score} is not known per class; {', '.join(PER_CLASS)} are")
    is_percent = found["percent"] is not None
    if is_percent and not change and score not in SHARES:
        raise InvalidGates(f"{at}: {score} is no share, so {found['bound']} % of it means nothing; leave the % out")
    bound = float(found["bound"]) / (100 if is_percent else 1)
    return Gate(found[0], score, label, change, found["sign"], bound, is_percent and bool(change))
