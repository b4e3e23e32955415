"""The benchmark measures what it says, times nothing wrong, and leaves no process behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from load_tests import bench, beside, generator, plan, proc, reference, servers, turns, work
from load_tests.measure import Measurement, median, paired_ratio
from load_tests.plan import Plan
from load_tests.results import GATEWAY, REFERENCE, Results
from load_tests.verdicts import MEMORY, PROMISES, ROUTED, WORKERS, Finding

pytest.importorskip("sklearn", reason="the rows of the benchmark come with the `convert` extra")
if not Path("/proc/self/smaps_rollup").exists():
    pytest.skip("processes are measured through /proc", allow_module_level=True)

ROUND = Measurement("gateway", 64, 1000, 0, 1000.0, 1.0, 2.0, 50.0)
CORES = sorted(os.sched_getaffinity(0))


def rounds(server: str, rates: list[float]) -> list[Measurement]:
    return [replace(ROUND, server=server, requests_per_second=rate) for rate in rates]


def answer(label: int, probabilities: list[float]) -> bytes:
    outputs = [{"name": "label", "data": [label]}, {"name": "probabilities", "data": probabilities}]
    return json.dumps({"outputs": outputs}).encode()


def test_a_ratio_is_the_median_of_neighbours_so_drift_cancels_out() -> None:
    mine, theirs = rounds("gateway", [100, 50, 10]), rounds("raw uvicorn", [200, 100, 20])

    assert paired_ratio(mine, theirs, "requests_per_second") == 0.5
    assert median(mine, "requests_per_second") == 50


def test_a_work_item_refuses_another_rows_answer() -> None:
    malignant = next(item for item in work.items() if item.label == 0)
    benign = next(item for item in work.items() if item.label == 1)

    assert malignant.fault(answer(0, list(malignant.probabilities))) == ""
    assert "label [1] is not 0" in malignant.fault(answer(1, list(benign.probabilities)))
    assert "off by" in malignant.fault(answer(0, list(benign.probabilities)))
    assert malignant.fault(answer(1, list(malignant.probabilities)), labelled=False) == ""


def test_every_work_item_is_a_row_of_its_own() -> None:
    assert len({item.body for item in work.items()}) == len(work.items()) > 100


def test_the_gateway_is_started_with_one_route_on_the_port_it_is_given(tmp_path: Path) -> None:
    command = servers.gateway_command(1234, 2, tmp_path)

    assert command[1:4] == ["-m", "gateway", "serve"]
    assert command[command.index("--workers") + 1] == "2"
    assert command[command.index("--port") + 1] == "1234"
    assert (Path(command[command.index("--routes") + 1]) / "breast-cancer.yaml").read_text() == servers.ROUTE


async def test_the_generator_counts_every_answer_of_every_connection(tmp_path: Path) -> None:
    port = servers.free_port()
    request = generator.post(work.PATH, work.items()[0].body)
    assert b"x-user-id: user-1" in generator.post(work.PATH, b"", **{"x-user-id": "user-1"})

    with servers.running("reference", servers.reference_command(port), port, CORES, tmp_path / "log"):
        seen = await generator.load(port, [request], 4, 0.2)

    assert seen["errors"] == 0
    assert seen["requests"] >= 4
    assert 0 < seen["p50_ms"] <= seen["p99_ms"]


def test_a_stopped_server_leaves_no_process_of_its_tree(tmp_path: Path) -> None:
    port = servers.free_port()

    with servers.running("reference", servers.reference_command(port), port, CORES, tmp_path / "log") as server:
        tree = proc.tree(server.pid)

    assert tree
    assert not tree & proc.tree(server.pid)


def test_a_server_that_ends_before_it_is_ready_is_an_error_that_shows_its_log(tmp_path: Path) -> None:
    broken = [sys.executable, "-c", "raise SystemExit('no such luck')"]

    with (
        pytest.raises(work.NotMeasurable, match="broken ended with 1:\nno such luck"),
        servers.running("broken", broken, servers.free_port(), CORES, tmp_path / "log"),
    ):
        pass


def test_a_tree_holds_the_grandchildren_whose_parent_is_gone() -> None:
    child = "import os, subprocess, sys; print(subprocess.Popen(['sleep', '30']).pid, flush=True)"
    leader = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert leader.stdout is not None
    orphan = int(leader.stdout.readline())

    try:
        tree = proc.tree(leader.pid)
        size = proc.pss_bytes(tree)
    finally:
        os.kill(orphan, 9)
        leader.communicate(b"\n")

    assert {leader.pid, orphan} <= tree
    assert size > 1_000_000


def test_a_run_measures_what_is_asked_for_alone_and_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turns, "WARM_UP_SECONDS", 1)
    monkeypatch.setattr(beside, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(beside, "RATES", (100,))
    monkeypatch.setattr(beside, "CURVE_SECONDS", 0.5)
    found, pasted = tmp_path / "found.json", tmp_path / "pasted.md"

    status = bench.main(
        ["--only", "cpu", "pytriton", "curve", "--rounds", "1", "--seconds", "1", "--json", str(found),
         "--markdown", str(pasted)]
    )  # fmt: skip

    written, shown = json.loads(found.read_text()), capsys.readouterr()
    assert status == 0, shown.err
    assert set(written["promises"]) == {"cpu", "pytriton"}
    assert written["promises"]["pytriton"]["note"] == "--pytriton PYTHON was not given"
    [rows] = written["series"].values()
    assert all(each["requests"] > 0 and each["cpu_us"] > 0 for name in (GATEWAY, REFERENCE) for each in rows[name])
    assert [(point["answered"], point["faults"]) for point in written["curve"]] == [(50, 0)]
    assert "not measured: --pytriton PYTHON was not given" in shown.out
    assert "| CPU per request : raw uvicorn |" in pasted.read_text()


def test_a_peer_that_does_not_start_is_noted_and_the_rest_is_measured(tmp_path: Path) -> None:
    body = Plan(frozenset({"grpc", "image"}), 1, 1, "/bin/false", None, tmp_path, plan.two_cores())

    results = Results("wrk", body.cores)
    with ExitStack() as stack:
        others = beside._others(body, results, tmp_path, stack)

    assert others == {}
    assert results.findings["grpc"].note.startswith("MLServer ended with 1")
    assert len(results.faults) == 1


@pytest.mark.parametrize(
    "fault",
    [work.NotMeasurable("the gateway ended"), TimeoutError("the gateway ended"), ValueError("the gateway ended")],
)
def test_a_fault_of_one_part_leaves_the_others_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    asked: list[str] = []

    def fails(_: Plan, __: Results) -> None:
        raise fault

    def succeeds(_: Plan, results: Results) -> None:
        asked.append("routed")

    monkeypatch.setattr(bench, "SECTIONS", ((fails, (WORKERS,)), (succeeds, (ROUTED,)), (fails, (MEMORY,))))

    results = bench.run(Plan(frozenset({"workers", "routed"}), 1, 1, None, None, tmp_path, plan.two_cores()))

    assert asked == ["routed"]
    assert results.findings == {"workers": Finding(None, "the gateway ended")}
    assert results.faults == ["the gateway ended"]


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--rounds", "0"], ["--seconds", "x"]], ids=" ".join)
def test_arguments_that_measure_nothing_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(arguments)


def test_every_promise_belongs_to_one_part_of_the_run() -> None:
    promised = [promise for _, promises in bench.SECTIONS for promise in promises]

    assert sorted(each.key for each in promised) == sorted(each.key for each in PROMISES)


def test_the_reference_answers_with_a_body_of_the_length_it_states() -> None:
    assert dict(reference.HEADERS)[b"content-length"] == str(len(reference.ANSWER)).encode()
    assert json.loads(reference.ANSWER)["model_name"] == "breast-cancer"
