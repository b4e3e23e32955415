"""What the gateway promises of its speed, and whether a figure keeps it.

Each promise has a floor that a release must keep and an aim that it tries for. A promise nobody measured is neither
kept nor broken, and says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SMALLEST: Final = 1e-9
"""Stands for zero where a figure is turned upside down."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A floor and an aim for one figure.

    unit: what stands behind the figure; ``1/`` and ``×`` stand before it, and ``1/`` shows it upside down. The aim may
    be in a unit of its own.
    """

    key: str
    what: str
    floor: float
    aim: float
    at_least: bool = False
    unit: str = ""
    aim_unit: str | None = None

    def holds(self, value: float, limit: float) -> bool:
        """Say whether *value* is on the good side of *limit*, the floor or the aim."""
        return value >= limit if self.at_least else value <= limit

    def shown_floor(self) -> str:
        """Return the floor in words, with its direction."""
        return f"{'≥' if self.at_least else '≤'} {shown(self.floor, self.unit)}"

    def shown_aim(self) -> str:
        """Return the aim in words."""
        return shown(self.aim, self.unit if self.aim_unit is None else self.aim_unit)


def shown(value: float, unit: str) -> str:
    """Return *value* with three digits that count, and its *unit*."""
    if unit == "1/":
        return f"1/{1 / max(value, SMALLEST):.3g}"
    return f"×{value:.3g}" if unit == "×" else f"{value:.3g} {unit}".rstrip()


RATE: Final = Promise("rate", "req/s : raw uvicorn, 64 connections", 0.65, 1.5, at_least=True)
CPU: Final = Promise("cpu", "CPU per request : raw uvicorn", 1.6, 0.6)
MLSERVER: Final = Promise("mlserver", "req/s : MLServer with onnxruntime", 7, 20, at_least=True)
PYTRITON: Final = Promise("pytriton", "req/s : PyTriton with dynamic batching", 4, 12, at_least=True)
P50: Final = Promise("p50", "p50 at one connection : MLServer", 1 / 3.5, 1 / 4.5, unit="1/")
IMAGE: Final = Promise("image", "images in binary, CPU : PyTriton", 1 / 4, 1 / 5, unit="1/")
GRPC: Final = Promise("grpc", "gRPC, req/s : MLServer", 3, 6, at_least=True)
WORKERS: Final = Promise("workers", "2 workers : 1, on two free cores", 1.8, 1.95, at_least=True)
ROUTED: Final = Promise("routed", "3 versions, hash, 5 rules, shadow 0 : one version", 0.95, 0.98, at_least=True)
MANY: Final = Promise("many", "200 models of 3 versions : 1 model", 0.9, 0.97, at_least=True)
LOADING: Final = Promise("loading", "p99 while a version of 500 MB loads : before", 2, 5, unit="×", aim_unit="ms more")
MEMORY: Final = Promise("memory", "PSS of the whole tree, 2 workers", 150, 110, unit="MiB")
START: Final = Promise("start", "start to ready, 2 workers", 1.5, 0.7, unit="s")

PROMISES: Final = (
    RATE, CPU, MLSERVER, PYTRITON, P50, IMAGE, GRPC, WORKERS, ROUTED, MANY, LOADING, MEMORY, START,
)  # fmt: skip


class Verdict(StrEnum):
    """What a figure says of a promise."""

    AIM = "aim reached"
    KEPT = "kept"
    MISSED = "MISSED"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Finding:
    """The figure for one promise, or None.

    towards: the figure that is held to the aim, where that has a unit of its own.
    note: how it was measured, or why it was not.
    """

    value: float | None
    note: str = ""
    towards: float | None = None


def verdict(promise: Promise, finding: Finding) -> Verdict:
    """Judge *finding*. Reaching the aim is more than keeping the floor, whatever their units."""
    if finding.value is None:
        return Verdict.NOT_MEASURED
    towards = finding.value if finding.towards is None else finding.towards
    if promise.holds(towards, promise.aim):
        return Verdict.AIM
    return Verdict.KEPT if promise.holds(finding.value, promise.floor) else Verdict.MISSED


def measured(promise: Promise, finding: Finding) -> str:
    """Return the figure in words, with that which is held to the aim behind it; a dash where there is none."""
    if finding.value is None:
        return "-"
    text = shown(finding.value, promise.unit)
    return text if finding.towards is None else f"{text}, {shown(finding.towards, promise.aim_unit or promise.unit)}"
