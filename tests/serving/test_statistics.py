"""Figures in Triton's words: they agree with the counters and add up."""

from __future__ import annotations

from gateway.ports.metrics import VersionFigures
from gateway.serving.statistics import model_stats

KEY = ("fraud", "2")


def test_a_version_that_was_never_asked_has_zeros_in_every_member() -> None:
    (row,) = model_stats([KEY], {})["model_stats"]

    assert (row["name"], row["version"]) == KEY
    assert (row["last_inference"], row["inference_count"], row["execution_count"]) == (0, 0, 0)
    assert all(each == {"count": 0, "ns": 0} for each in row["inference_stats"].values())


def test_the_time_of_all_requests_is_shared_out_to_the_nanosecond() -> None:
    figures = VersionFigures(succeeded=2, failed=1, request_seconds=1.0)

    spans = model_stats([KEY], {KEY: figures})["model_stats"][0]["inference_stats"]

    assert (spans["success"]["count"], spans["fail"]["count"]) == (2, 1)
    assert spans["success"]["ns"] + spans["fail"]["ns"] == 1_000_000_000
    assert spans["success"]["ns"] == 666_666_666


def test_rows_runs_waits_and_times_are_those_that_were_counted() -> None:
    figures = VersionFigures(
        succeeded=3, request_seconds=0.5, waits=3, wait_seconds=0.1, runs=2, run_seconds=0.2, rows=7, last_request=1.5
    )

    (row,) = model_stats([KEY], {KEY: figures})["model_stats"]

    assert (row["inference_count"], row["execution_count"], row["last_inference"]) == (7, 2, 1_500)
    assert row["inference_stats"]["queue"] == {"count": 3, "ns": 100_000_000}
    assert row["inference_stats"]["compute_infer"] == {"count": 2, "ns": 200_000_000}
