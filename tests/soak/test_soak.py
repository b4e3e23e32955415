"""The soak finds what it looks for: its negative controls, and a short run."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.soak.ledger import BROKEN, RIGHT, Ledger
from tests.soak.watch import TAIL, Growth, Held, Sample, growths

COUNT = 3 * TAIL


def samples(leak_mib: float = 0.0, leak_descriptors: int = 0, leak_series: int = 0) -> list[Sample]:
    """Return samples of two processes of which the second leaks, and a third that comes and goes."""
    return [
        Sample(
            at,
            {
                1: Held("launcher", 20.0, 10, 1),
                2: Held("worker", 90.0 + at * leak_mib + at % 3, 30 + at * leak_descriptors, 4 + at % 2),
                **({3: Held("verifier", 5.0, 3, 1)} if at % 4 else {}),
            },
            900 + at * leak_series + at % 2,
            0.0,
            200.0,
        )
        for at in range(COUNT)
    ]


def test_what_goes_up_and_down_is_no_growth() -> None:
    memory, threads, descriptors, series = growths(samples())

    assert [each.amount for each in (*memory, *threads, descriptors, series)] == [0.0] * 6


def test_control_what_leaks_is_growth() -> None:
    memory, _, descriptors, series = growths(samples(leak_mib=0.5, leak_descriptors=1, leak_series=2))

    lost = COUNT - TAIL
    assert memory == [Growth("launcher 1", 0.0), Growth("worker 2", 0.5 * lost)]
    assert descriptors == Growth("descriptors", lost)
    assert series.amount == 2 * lost


def test_a_failure_is_explained_by_a_fault_that_said_so_and_by_no_other() -> None:
    ledger = Ledger()
    ledger.excuse("worker killed", ["json"], (BROKEN,), 60.0)
    now = time.monotonic()

    ledger.note("json", now, f"{BROKEN}reset")
    ledger.note("json", now, "500: b''")
    ledger.note("binary", now, f"{BROKEN}reset")
    ledger.note("json", now, RIGHT)

    assert ledger.explained == {"worker killed: json": 1}
    assert [(each.stream, each.text) for each in ledger.unexplained] == [
        ("json", "500: b''"),
        ("binary", f"{BROKEN}reset"),
    ]


def test_an_excuse_ends() -> None:
    ledger = Ledger()
    ledger.excuse("worker killed", ["json"], (BROKEN,), -0.001)

    ledger.note("json", time.monotonic(), f"{BROKEN}reset")

    assert len(ledger.unexplained) == 1


@pytest.mark.long
@pytest.mark.timeout(400)
def test_two_and_a_half_minutes_of_all_faults_lose_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--minutes", "2.5"], capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    for fault in ("killed", "rolled", "frozen", "wiped", "corrupt"):
        assert fault in run.stdout
