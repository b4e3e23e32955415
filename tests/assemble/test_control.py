"""What the control process makes of its settings."""

from __future__ import annotations

import base64
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.assemble.control import SCAN_SHARE, Shelf, evaluated_in, replica_name, targets_of
from gateway.models.evaluations import FORMAT, Evaluation, write_evaluation
from gateway.models.repository import Repository
from gateway.processes.state import StateDirectory
from gateway.processes.tree import Tree
from gateway.settings import Settings

if TYPE_CHECKING:
    import pytest

GOOD = "targets: [{name: ops, url: 'https://hooks.example.com', secret: {env: OPS_SECRET}}]"


def test_who_is_told_comes_from_the_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "webhooks.yaml"
    path.write_text(GOOD)
    monkeypatch.setenv("OPS_SECRET", "whsec_" + base64.b64encode(b"k" * 24).decode())

    assert [target.secrets for target in targets_of(Settings(webhooks=path))] == [(b"k" * 24,)]
    assert targets_of(Settings()) == ()


def test_a_file_that_was_broken_since_the_start_keeps_no_control_process_from_living(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "webhooks.yaml"
    path.write_text("targets: [")

    assert targets_of(Settings(webhooks=path)) == ()
    assert "nobody is told of decisions until" in caplog.text


def test_two_gateways_of_one_host_name_and_port_are_two_replicas(tmp_path: Path) -> None:
    marks = [Tree(Settings(), None, StateDirectory(tmp_path / each))._mark for each in ("one", "two")]

    with socket.create_server(("127.0.0.1", 0)) as admin:
        one, again, other = (replica_name(admin, mark) for mark in (marks[0], *marks))

    assert one == again != other
    assert one.rpartition("#")[0] == other.rpartition("#")[0]


def test_a_look_at_many_versions_is_taken_seldomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter([0.0, 0.01, 1.0, 1.1, 9.0, 9.0])
    now = 100.0
    monkeypatch.setattr(time, "thread_time", lambda: next(spent))
    monkeypatch.setattr(time, "monotonic", lambda: now)
    shelf = Shelf(Repository(tmp_path))

    def found_after(seconds: float) -> set[str]:
        nonlocal now
        now += seconds
        return set(shelf())

    assert found_after(0) == set()
    (tmp_path / "fraud" / "1").mkdir(parents=True)
    (tmp_path / "fraud" / "1" / "model.onnx").touch()
    assert found_after(0.01 / SCAN_SHARE - 0.1) == set()
    assert found_after(0.2) == {"fraud"}
    (tmp_path / "fraud" / "1" / "model.onnx").unlink()
    assert found_after(0.1 / SCAN_SHARE - 0.1) == {"fraud"}
    assert found_after(0.2) == set()


def test_evaluations_of_a_store_are_read_in_its_copy(tmp_path: Path) -> None:
    settings = Settings(models=Path("s3://bucket/models"), state_dir=tmp_path)
    place = settings.repository / "fraud" / "1"
    place.mkdir(parents=True)
    write_evaluation(place, Evaluation(format=FORMAT, sha256="ab", created="", passed=True))

    assert evaluated_in(settings)("fraud", 1, "ab") == (True, "")
