"""What the statistics extension says of a version, in the words of Triton's protocol, for every door.

Figures are the workers' counters, so they agree with ``/metrics``. What is not measured apart is zero:
reading and writing tensors belong to the request's time, and nothing is cached.

Source: Triton Inference Server, "Statistics Extension".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.ports.metrics import VersionFigures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NANOSECONDS: Final = 1_000_000_000
NOTHING: Final = {"count": 0, "ns": 0}
NO_FIGURES: Final = VersionFigures()


def model_stats(
    versions: Iterable[tuple[str, str]], figures: Mapping[tuple[str, str], VersionFigures]
) -> dict[str, Any]:
    """Return the answer for *versions*, names and numbers; one that was never asked for has zeros."""
    return {"model_stats": [_row(*key, figures.get(key, NO_FIGURES)) for key in versions]}


def _row(model: str, version: str, counted: VersionFigures) -> dict[str, Any]:
    success, fail = _requests(counted)
    return {
        "name": model,
        "version": version,
        "last_inference": round(counted.last_request * 1_000),
        "inference_count": counted.rows,
        "execution_count": counted.runs,
        "inference_stats": {
            "success": success,
            "fail": fail,
            "queue": _duration(counted.waits, counted.wait_seconds),
            "compute_input": NOTHING,
            "compute_infer": _duration(counted.runs, counted.run_seconds),
            "compute_output": NOTHING,
            "cache_hit": NOTHING,
            "cache_miss": NOTHING,
        },
        "response_stats": {},
        "batch_stats": [],
        "memory_usage": [],
    }


def _requests(counted: VersionFigures) -> tuple[dict[str, int], dict[str, int]]:
    """Return success and fail. One clock measured both, so its time is shared out by their numbers."""
    total = counted.succeeded + counted.failed
    whole = _duration(total, counted.request_seconds)["ns"]
    good = whole * counted.succeeded // total if total else 0
    return {"count": counted.succeeded, "ns": good}, {"count": counted.failed, "ns": whole - good}


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * NANOSECONDS)}
