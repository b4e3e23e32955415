"""The soak finds what it looks for: its negative controls, and a short run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.soak.__main__ import main, turned
from tests.soak.faults import FAULTS
from tests.soak.ledger import BROKEN, RIGHT, Ledger, Window
from tests.soak.series import SeriesBook
from tests.soak.verdict import Phases, Seen, judge
from tests.soak.watch import TAIL, Growth, Held, Sample, growths

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 3 * TAIL
TURN_SECONDS = 130.0
"""In so long every fault has its turn."""


def samples(leak_mib: float = 0.0, leak_descriptors: int = 0, lag: float = 0.001) -> list[Sample]:
    """Return samples of two processes of which the second leaks, and a third that comes and goes."""
    return [
        Sample(
            at,
            {
                1: Held("launcher", 20.0, 30.0, 10, 1),
                2: Held("worker", 90.0 + at * leak_mib + at % 3, 120.0 + at, 30 + at * leak_descriptors, 4 + at % 2),
                **({3: Held("verifier", 5.0, 9.0, 3, 1)} if at % 4 else {}),
            },
            900,
            lag,
            200.0,
        )
        for at in range(COUNT)
    ]


def book(
    leaks_every: float = 0.0, vanishes: tuple[str, float] = ("", 0.0), passes: str = "", unloads: str = ""
) -> SeriesBook:
    """Return half an hour of looks at two counters, one set that is there in 20 s of each turn of the rota, and a gauge
    that ended early; *passes* is there for 10 s, late, and *unloads* in every other turn."""
    found = SeriesBook()
    for at in (10.0 * look for look in range(1, 181)):
        names = {"gateway_workers{}", 'gateway_requests_total{model="echo"}', unloads, vanishes[0]}
        names |= {f'gateway_rollout_e_value{{guard="{guard}"}}' for guard in "ab" if at % TURN_SECONDS < 20.0}
        names |= {"gateway_early{}"} if at < 100.0 else set()
        names |= {f'gateway_leak{{who="{who}"}}' for who in range(int(at / leaks_every) if leaks_every else 0)}
        names |= {passes} if at == 1500.0 else set()
        names -= {vanishes[0]} if at == vanishes[1] else set()
        names -= {unloads} if at // TURN_SECONDS % 2 else set()
        found.note(at, names - {""})
    return found


def test_control_one_new_series_a_minute_is_a_leak_and_each_is_named() -> None:
    added = book(leaks_every=60.0).added(1200.0)

    assert added == [f'gateway_leak{{who="{who}"}}' for who in range(19, 29)]


def test_a_set_that_comes_and_goes_with_a_fault_is_no_leak() -> None:
    found = book(passes='gateway_rollout_phase{phase="hold"}')

    assert found.added(1200.0) == []
    assert found.passing(1200.0) == ['gateway_rollout_phase{phase="hold"}']
    assert found.removed(1200.0) == ["gateway_early{}"]
    assert found.vanished_counters("none") == []


def test_a_counter_that_is_missing_at_one_look_vanished_unless_its_version_was_unloaded() -> None:
    found = book(vanishes=("gateway_rollbacks_total{}", 900.0), unloads='gateway_requests_total{model="heavy"}')

    assert found.vanished_counters('model="heavy"') == ["gateway_rollbacks_total{}"]
    assert found.came_and_went()[0] == "gateway_rollbacks_total{}"


def test_every_fault_has_had_its_turn_when_the_last_was_over_once() -> None:
    kill, roll = FAULTS["kill"], FAULTS["roll"]

    assert turned([kill, roll], [(kill, 5.0), (roll, 12.0), (kill, 20.0)]) == 12.0
    assert turned([kill, roll], [(kill, 5.0)]) == math.inf
    assert turned([], []) == 0.0


def test_series_are_not_judged_where_a_fault_had_no_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen(Ledger(), samples(), book(leaks_every=60.0), Phases(-2.0, 0.0), math.inf, 7)

    code = judge(seen, 0.0, tmp_path / "soak.json")

    assert code == 0
    assert "| series that began late and stayed | 0 | recorded |" in capsys.readouterr().out
    assert json.loads((tmp_path / "soak.json").read_text())["series"]["judged since"] is None


def test_what_goes_up_and_down_is_no_growth() -> None:
    grown = growths(samples())

    assert [each.amount for each in (*grown.memory, *grown.threads)] == [0.0] * 4
    assert grown.descriptors == 0


def test_control_what_leaks_is_growth() -> None:
    grown = growths(samples(leak_mib=0.5, leak_descriptors=1))

    lost = COUNT - TAIL
    assert grown.memory == [Growth("launcher 1", 0.0), Growth("worker 2", 0.5 * lost)]
    assert grown.resident == [Growth("launcher 1", 0.0), Growth("worker 2", lost)]
    assert grown.descriptors == lost


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


def test_an_excuse_says_since_when_a_request_was_due() -> None:
    ledger = Ledger()
    now = time.monotonic()
    ledger.excuse("worker killed with what it had served", ["feedback"], ("feedback 404",), 0.0, before=1.0)

    ledger.note("feedback", now - 0.5, "feedback 404: b''")
    ledger.note("feedback", now - 2.0, "feedback 404: b''")
    ledger.note("feedback", now + 0.5, "feedback 404: b''")

    assert ledger.explained == {"worker killed with what it had served: feedback": 1}
    assert len(ledger.unexplained) == 2


def test_a_fault_that_is_over_excuses_nothing_that_is_due_later() -> None:
    ledger = Ledger()
    excuse = ledger.excuse("store frozen", ["feedback"], ("feedback 503",), 90.0)
    excuse.end(1.0)
    now = time.monotonic()

    ledger.note("feedback", now, "feedback 503: b''")
    ledger.note("feedback", now + 2.0, "feedback 503: b''")

    assert ledger.explained.total() == len(ledger.unexplained) == 1


def test_what_is_kept_is_kept_and_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document, shown = judged(tmp_path, capsys, Ledger(), samples())

    assert code == 0
    assert "missed" not in shown
    assert "| MiB more, worker 2 | 0 | ≤ 2 | kept |" in shown
    assert all(figure["kept"] for figure in document["figures"])
    assert {"processors", "gateway", "onnxruntime", "load average before"} <= document["machine"].keys()
    assert document["seed"] == 7


@pytest.mark.parametrize(
    ("broken", "row"),
    [
        ({"stream": "json"}, "other failures of an inference"),
        ({"stream": "feedback"}, "other failures of a label"),
        ({"stream": "the store is wiped"}, "faults that the gateway did not get over in time"),
        ({"p99_ms": 16.0}, "p99 grows in the last third by, ms"),
        ({"lag": 0.5}, "loop lag of the slowest worker, median, ms"),
        ({"leak_mib": 0.5}, "MiB more, worker 2"),
        ({"leak_descriptors": 1}, "descriptors more, all processes"),
        ({"leaking": book(leaks_every=60)}, "series that began late and stayed"),
        ({"leaking": book(vanishes=('gateway_rollbacks_total{model="echo"}', 900))}, "counters that vanished"),
    ],
)
def test_control_a_promise_that_was_missed_ends_the_soak_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: dict[str, Any], row: str
) -> None:
    ledger = Ledger()
    if stream := broken.pop("stream", ""):
        ledger.sent.update(("json", "feedback"))
        ledger.missed(stream, "an end of the connection")
    p99_ms = broken.pop("p99_ms", 10.0)

    series = broken.pop("leaking", None)

    code, document, shown = judged(tmp_path, capsys, ledger, samples(**broken), p99_ms, series)

    assert code == 1
    assert row in [figure["what"] for figure in document["figures"] if not figure["kept"]]
    assert f"| {row} |" in next(line for line in shown.splitlines() if line.endswith("**missed** |"))


def judged(
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    ledger: Ledger,
    taken: list[Sample],
    p99_ms: float = 10.0,
    series: SeriesBook | None = None,
) -> tuple[int, dict[str, Any], str]:
    """Judge *taken*, all of them of the last third; before it the p99 was 10 ms, and in it *p99_ms*."""
    ledger.windows = [Window(-1.0, 3.0, 10.0), Window(1.0, 3.0, p99_ms)]
    into = directory / "build" / "soak.json"
    code = judge(Seen(ledger, taken, series or book(), Phases(-2.0, 0.0), TURN_SECONDS, 7), 0.0, into)
    return code, json.loads(into.read_text()), capsys.readouterr().out


def test_a_fault_that_nobody_knows_is_refused_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--faults", "roll,earthquake"])

    assert "no fault is named 'earthquake'; there are kill, roll," in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.timeout(400)
def test_two_and_a_half_minutes_of_all_faults_lose_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--minutes", "2.5"], capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    for fault in ("killed", "rolled", "frozen", "wiped", "corrupt"):
        assert fault in run.stdout
