"""The load of a large version is waited for from when its file is there until it is ready, or says why it is not."""

from __future__ import annotations

import http.server
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("sklearn", reason="the rows of the benchmark come with the `convert` extra")

from load_tests import loading, work
from load_tests.loading import Arrival, Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Row = dict[str, str]
READY: Row = {"name": work.MODEL, "version": loading.LARGE, "state": "READY", "reason": ""}
REFUSED: Row = {**READY, "state": "UNAVAILABLE", "reason": "bad_model: it has two links"}


@contextmanager
def a_gateway(rows: Callable[[], list[Row]]) -> Iterator[int]:
    """Answer every request with the index that *rows* gives, on a free port."""

    class Index(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(rows()).encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def version(tmp_path: Path) -> Path:
    made = tmp_path / "version"
    made.mkdir()
    return made


def test_a_version_arrives_after_the_quiet_time_and_is_waited_for_until_it_is_ready(
    tmp_path: Path, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "POLL_SECONDS", 0.01)
    place = tmp_path / "place"

    with a_gateway(lambda: [READY] if place.exists() else []) as port:
        arrival = Arrival(port, version, place, 0.05)
        arrival.start()
        arrival.join()

    assert place.exists()
    assert arrival.ended.is_set()
    assert 0 < arrival.put_at < arrival.ready_at


def test_a_version_that_is_not_ready_in_time_says_what_it_was_instead(
    tmp_path: Path, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(loading, "LONGEST_SECONDS", 0.2)

    with a_gateway(lambda: [REFUSED]) as port:
        arrival = Arrival(port, version, tmp_path / "place", 0.0)
        arrival.start()
        arrival.join()

    assert arrival.ended.is_set()
    assert arrival.ready_at == 0
    assert "UNAVAILABLE bad_model: it has two links" in arrival.fault


def test_the_large_model_is_as_large_as_it_says_and_adds_one_row() -> None:
    content = loading.large(120_000)

    [answer] = onnxruntime.InferenceSession(content).run(None, {"input": np.zeros((2, loading.COLUMNS), np.float32)})

    assert 120_000 <= len(content) < 121_000
    assert answer.shape == (2, loading.COLUMNS)


def test_waits_beside_a_load_are_compared_round_by_round() -> None:
    found = loading.compared([Waits(1.0, 3.0, 2.0), Waits(2.0, 3.0, 2.0), Waits(1.0, 2.0, 4.0)])

    assert (found.value, found.towards) == (2.0, 1.0)
    assert "3 and 1 ms at 500 req/s; ready after 2 s" in found.note
