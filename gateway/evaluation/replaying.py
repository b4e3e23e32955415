"""Replays requests against a version, in a process of its own, and compares its answers with those expected.

Expected are the recorded answers, or another version's to the same requests. Where inputs were redacted only the
second says anything: the recorded answer was given to other inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.convert.confined import run_confined
from gateway.convert.messages import write_message
from gateway.convert.scratch import scratch_directory
from gateway.evaluation import messages
from gateway.evaluation.asking import copy_model, explain
from gateway.evaluation.errors import CannotEvaluate
from gateway.evaluation.messages import Order
from gateway.models.golden import GoldenTensor
from gateway.models.replay import compare, distances_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gateway.evaluation.messages import Replayed
    from gateway.evaluation.recorded import RecordedRequest

    Outputs = Mapping[str, GoldenTensor]

SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Answers:
    """What a version answered: per request its outputs, or in words why there are none. *milliseconds*: per answer."""

    outputs: Sequence[Outputs | str]
    milliseconds: Sequence[float]

    def latency(self) -> dict[str, float] | None:
        """Return p50, p95 and p99 of a run, milliseconds; None where nothing was answered."""
        if not self.milliseconds:
            return None
        found = np.quantile(self.milliseconds, (0.5, 0.95, 0.99))
        return {name: round(float(each), 4) for name, each in zip(("p50", "p95", "p99"), found, strict=True)}


@dataclass(slots=True)
class OutputTally:
    """One output over all compared requests: how many differ, and the largest distance of its numbers."""

    compared: int = 0
    differ: int = 0
    largest: float | None = None


@dataclass(slots=True)
class Comparison:
    """What came of a replay. *differences* are the first SHOWN; *served*: version → [requests, those that differ]."""

    requests: int = 0
    agreed: int = 0
    unanswered: int = 0
    outputs: dict[str, OutputTally] = field(default_factory=dict)
    served: dict[str, list[int]] = field(default_factory=dict)
    differences: list[dict[str, Any]] = field(default_factory=list)

    @property
    def agreement(self) -> float:
        """Return the fraction of requests whose answers agree in every output."""
        return self.agreed / self.requests


def replayed(model: Path, requests: Sequence[RecordedRequest], *, called: str, seconds: int) -> Answers:
    """Ask the model file the *requests*, each by itself. *called* names it in errors. Raises CannotEvaluate."""
    with scratch_directory() as scratch:
        copy_model(model, scratch / messages.GRAPH, called=called)
        (scratch / messages.REQUESTS).write_bytes(b"\n".join(each.line for each in requests))
        write_message(scratch / messages.ORDER, Order(seconds, 1))
        code = run_confined("gateway.evaluation.replay_child", scratch, seconds=seconds)
        report = messages.read_replayed(scratch) if code == 0 else None
        if report is None:
            raise CannotEvaluate(explain(code, scratch, called, seconds))
        if report.refusal:
            raise CannotEvaluate(f"{called}: {report.refusal}")
        return _answers(report, messages.read_answers(scratch), len(requests))


def recorded_answers(requests: Sequence[RecordedRequest]) -> Answers:
    """Return the answers that were recorded. Raises CannotEvaluate where they are none to these inputs."""
    if any(each.is_redacted for each in requests):
        raise CannotEvaluate(
            "inputs of these requests were redacted when they were recorded, so the recorded answers are not to what "
            "is replayed; name a version to compare with: --against VERSION"
        )
    if not any(each.request.outputs for each in requests):
        raise CannotEvaluate("these requests hold no answers; name a version to compare with: --against VERSION")
    return Answers([each.request.outputs for each in requests], ())


def compared(requests: Sequence[RecordedRequest], expected: Answers, came: Answers, *, tolerance: float) -> Comparison:
    """Return how what *came* agrees with what was *expected*, request by request.

    *tolerance*: how far numbers may differ, relative above 1; texts, classes and whole numbers may not. A request that
    one of the two did not answer differs, one that neither answered agrees.
    """
    found = Comparison()
    for each, before, now in zip(requests, expected.outputs, came.outputs, strict=True):
        said = _difference(before, now, tolerance, found.outputs)
        counts = found.served.setdefault(each.served, [0, 0])
        found.requests += 1
        found.unanswered += isinstance(now, str)
        found.agreed += not said
        counts[0] += 1
        counts[1] += bool(said)
        if said and len(found.differences) < SHOWN:
            request = each.request
            found.differences.append({"line": request.place, "id": request.id, "served": each.served, "what": said})
    return found


def _answers(report: Replayed, found: Mapping[str, Any], count: int) -> Answers:
    """Return what a process left, which is believed as far as it fits together. Raises CannotEvaluate."""
    outputs: list[dict[str, GoldenTensor] | str] = [report.failures.get(index, {}) for index in range(count)]
    for key, values in found.items():
        index, _, name = key.partition(" ")
        kept = outputs[int(index)] if index.isdecimal() and int(index) < count else None
        if not isinstance(kept, dict) or name not in report.datatypes:
            raise CannotEvaluate("the process that asked the version left answers to what it was not asked")
        kept[name] = GoldenTensor(report.datatypes[name], values)
    return Answers(outputs, report.milliseconds)


def _difference(before: Outputs | str, now: Outputs | str, tolerance: float, tallies: dict[str, OutputTally]) -> str:
    """Return in words the first output that differs, empty where none does, and count each in *tallies*."""
    if isinstance(before, str) or isinstance(now, str):
        if isinstance(now, str):
            return "" if isinstance(before, str) else now
        return f"is answered, and before: {before}"
    first = ""
    for name, expected in before.items():
        tally = tallies.setdefault(name, OutputTally())
        tally.compared += 1
        said = compare(expected, now[name], tolerance) if name in now else "is not there"
        if said:
            tally.differ += 1
            first = first or f"output {name!r} {said}"
        if name in now:
            _measure(tally, expected, now[name])
    return first


def _measure(tally: OutputTally, expected: GoldenTensor, came: GoldenTensor) -> None:
    one, other = expected.values, came.values
    if one.dtype.kind == other.dtype.kind == "f" and one.shape == other.shape and one.size:
        distance = float(distances_of(one, other).max())
        if np.isfinite(distance):
            tally.largest = max(tally.largest or 0.0, distance)
