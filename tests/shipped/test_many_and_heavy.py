"""The loads with many models and beside a heavy one make what they say, and refuse what means nothing."""

from __future__ import annotations

import http.server
import json
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the rows of the benchmark come with the `convert` extra")

from gateway.models.repository import Repository
from load_tests import images, many
from load_tests.many import Changes, Found
from load_tests.measure import Measurement

if TYPE_CHECKING:
    from pathlib import Path


def measured(rate: float) -> Measurement:
    return Measurement("gateway", 64, 100, 0, rate, 1.0, 2.0, 50.0)


def test_the_repository_holds_the_one_and_all_the_others(tmp_path: Path) -> None:
    found = Repository(many.repository(tmp_path, 3, 2)).scan().versions

    assert {model: list(versions) for model, versions in found.items()} == {
        "breast-cancer": [1], "beside-000": [1, 2], "beside-001": [1, 2], "beside-002": [1, 2],
    }  # fmt: skip


def test_what_is_printed_holds_ratios_to_one_model_and_memory_per_version() -> None:
    found = Found(
        [measured(1000)], [measured(950)], [measured(900)], [0.05], 100 << 20, 160 << 20, Changes([0.01, 0.02])
    )

    text = "\n".join(found.lines(600))

    assert "many : one model, req/s 0.950" in text
    assert "many, routes move : one model, req/s 0.900" in text
    assert "102 KiB for each of 600 more versions" in text
    assert "2 changes, p50 20.0 ms" in text


def test_without_changes_nothing_is_said_of_them() -> None:
    text = "\n".join(Found([measured(1000)], [measured(950)], [], [0.05]).lines(600))

    assert "routes move" not in text


@pytest.mark.parametrize("arguments", [["--models", "0"], ["--versions", "1"], ["--changes", "-1"]], ids=" ".join)
def test_numbers_that_leave_nothing_to_move_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        many.main(arguments)


def test_each_change_is_another_model_s_and_the_weights_go_to_and_fro() -> None:
    seen: list[tuple[str, object]] = []

    class Admin(http.server.BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append((self.path.split("/")[4], body["weights"]))
            self.send_response(200 if len(seen) < 5 else 409)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    changes = Changes()
    with http.server.HTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with many.moving(server.server_port, 2, 1000.0, changes):
            while len(seen) < 5:
                time.sleep(0.001)
        server.shutdown()
        thread.join()

    first, second = many.WEIGHTS
    assert seen[:5] == [
        ("beside-000", first), ("beside-001", first), ("beside-000", second), ("beside-001", second),
        ("beside-000", first),
    ]  # fmt: skip
    assert len(changes.seconds) == 4
    assert "409" in changes.faults[0]


def test_a_request_of_images_is_as_long_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("load_tests.measure.shutil.which", lambda _: "/usr/bin/wrk")

    load = images.load(tmp_path, 0, 2)

    body = load.body.read_bytes()
    head = json.loads(body[: load.json_bytes])
    assert head["inputs"][0]["shape"] == [2, *images.SHAPE]
    assert len(body) - (load.json_bytes or 0) == 2 * int(np.prod(images.SHAPE)) * 4
