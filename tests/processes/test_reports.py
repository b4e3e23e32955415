"""What workers say of themselves, through files that either side may lose at any time."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.core.signature import Signature, TensorSpec
from gateway.core.versions import VersionState, VersionStatus
from gateway.ports.workers import GoldenResult, WorkerReport
from gateway.processes.reports import ReportDirectory, ReportFile, forget

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 30)), TensorSpec("t", "BYTES", (-1,))), (TensorSpec("y", "INT64", ()),)
)


def report(slot: int = 0, *, pid: int | None = None, revision: int = 7) -> WorkerReport:
    return WorkerReport(
        slot=slot,
        pid=os.getpid() if pid is None else pid,
        not_ready={"fraud/3": "loading"},
        revisions={"fraud": revision},
        versions=[
            VersionStatus(
                "fraud", 1, VersionState.READY, "", "ab" * 32, SIGNATURE, "not batched: its axis is fixed", 512
            ),
            VersionStatus("fraud", 3, VersionState.LOADING, "waiting"),
        ],
        store_up=True,
        shares={"fraud": {1: 0.95, 3: 0.05}},
        golden={"fraud": {2: GoldenResult("r1", failed="golden request 1 differs"), 3: GoldenResult("r1")}},
        queue_limits={"fraud": {1: 7}},
    )


def ended_process() -> int:
    """Return the id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    ReportFile(tmp_path, 0).write(report())

    assert ReportDirectory(tmp_path).reports() == [report()]


def test_a_disk_that_refuses_costs_reports_only_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "gone"
    file = ReportFile(directory, 0)

    file.write(report())
    file.write(report(revision=8))
    directory.mkdir()
    file.write(report(revision=8))

    assert ReportDirectory(directory).reports() == [report(revision=8)]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "cannot be written" in caplog.text


def test_the_last_report_counts(tmp_path: Path) -> None:
    file = ReportFile(tmp_path, 0)

    for revision in (1, 2, 3):
        file.write(report(revision=revision))

    assert [each.revisions["fraud"] for each in ReportDirectory(tmp_path).reports()] == [3]


def test_a_report_that_says_nothing_new_is_not_written(tmp_path: Path) -> None:
    file = ReportFile(tmp_path, 0)
    file.write(report())
    [path] = tmp_path.iterdir()
    path.unlink()

    file.write(report())

    assert list(tmp_path.iterdir()) == []


def test_workers_are_listed_by_slot(tmp_path: Path) -> None:
    for slot in (2, 0, 1):
        ReportFile(tmp_path, slot).write(report(slot))

    assert [each.slot for each in ReportDirectory(tmp_path).reports()] == [0, 1, 2]


def test_a_worker_that_is_gone_is_not_heard(tmp_path: Path) -> None:
    ReportFile(tmp_path, 0).write(report())
    ReportFile(tmp_path, 1).write(report(1, pid=ended_process()))

    assert [each.slot for each in ReportDirectory(tmp_path).reports()] == [0]


def test_a_worker_takes_its_report_back_when_it_stops(tmp_path: Path) -> None:
    file = ReportFile(tmp_path, 0)
    file.write(report())

    file.remove()
    file.remove()

    assert ReportDirectory(tmp_path).reports() == []


@pytest.mark.parametrize("content", [b"", b'{"slot":', b"[]", b"{}", b"\xff", b'{"slot": 0, "pid": 1}'])
def test_a_report_that_cannot_be_read_is_left_out_and_told(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ReportFile(tmp_path, 0).write(report())
    (tmp_path / "worker-1-123.json").write_bytes(content)

    with caplog.at_level(logging.WARNING):
        found = ReportDirectory(tmp_path).reports()

    assert [each.slot for each in found] == [0]
    assert "worker-1-123.json" in caplog.text


def test_half_a_report_is_never_seen(tmp_path: Path) -> None:
    file = ReportFile(tmp_path, 0)
    file.write(report())
    [path] = tmp_path.iterdir()
    open_before = path.open("rb")

    file.write(report(revision=8))

    with open_before:
        assert json.loads(open_before.read())["revisions"] == {"fraud": 7}


def test_the_reports_of_ended_workers_are_forgotten_and_of_nobody_else(tmp_path: Path) -> None:
    ReportFile(tmp_path, 0).write(report())
    (tmp_path / "worker-1-123.json").write_bytes(b"{}")
    (tmp_path / "worker-1-1234.json").write_bytes(b"{}")

    forget(tmp_path, [123])

    assert {path.name for path in tmp_path.iterdir()} == {f"worker-0-{os.getpid()}.json", "worker-1-1234.json"}


def test_without_the_directory_nobody_reports(tmp_path: Path) -> None:
    assert list(ReportDirectory(tmp_path / "none").reports()) == []


def test_a_report_is_read_once_until_it_is_replaced(tmp_path: Path) -> None:
    writer, directory = ReportFile(tmp_path, 0), ReportDirectory(tmp_path)
    writer.write(report(revision=1))
    [first] = directory.reports()

    [same] = directory.reports()
    writer.write(report(revision=2))
    [later] = directory.reports()

    assert same is first
    assert later.revisions == {"fraud": 2}
