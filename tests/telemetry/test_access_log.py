"""The access log: lines of a sample, each one JSON object that nothing in it can break."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest

from gateway.core.sampling import Sampling
from gateway.core.trace_context import TraceContext
from gateway.ports.observing import Seen, SeenRun
from gateway.telemetry.access_log import AccessLog, LineWriter
from gateway.telemetry.outbox import Outbox

SEEN = Seen(
    request_id="abc", trace=TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", False), door="v2",
    status=200, model="fraud", pinned=None, version=2, revision=7, rule="split", fallback_from=3, outcome="ok",
    error="", cause="", started=10.0, ended=10.5, at=0.25, run=SeenRun(10.1, 10.2, 0.25, 8),
)  # fmt: skip


def written(*seen: Seen) -> list[str]:
    stream = io.BytesIO()
    assert LineWriter(stream, 7)(seen)
    return stream.getvalue().decode("ascii").splitlines()


def test_a_line_says_who_answered_what_and_how_long_it_took() -> None:
    [line] = written(SEEN)

    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z", "level": "INFO", "logger": "gateway.access", "message": "request",
        "pid": 7, "request_id": "abc", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "door": "v2", "status": 200,
        "outcome": "ok", "model": "fraud", "version": 2, "revision": 7, "rule": "split", "fallback_from": 3,
        "seconds": 0.5, "queue_seconds": 0.1, "run_seconds": 0.25,
    }  # fmt: skip


def test_what_a_request_lacks_its_line_lacks() -> None:
    bare = dataclasses.replace(SEEN, trace=None, version=None, revision=None, rule="", fallback_from=None, run=None)

    assert not {"trace_id", "version", "rule", "run_seconds"} & json.loads(written(bare)[0]).keys()


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x1b[31m", "\x00", "\u2028", "ä\ud800"])
def test_no_name_breaks_out_of_its_line(text: str) -> None:
    [line] = written(dataclasses.replace(SEEN, model=text))

    assert json.loads(line)["model"] == text
    assert line.isprintable()


def test_a_stream_that_is_gone_is_said_to_be_so() -> None:
    class Gone(io.BytesIO):
        def write(self, *_: object) -> int:
            raise BrokenPipeError

    assert not LineWriter(Gone(), 7)([SEEN])


def log_of(sampling: Sampling, draw: int = 0) -> AccessLog:
    outbox = Outbox[Seen]("lines", lambda _: True, lambda *_: None)
    return AccessLog(sampling, outbox, lambda: 0.0, lambda: draw)


def test_a_share_of_the_requests_gets_lines() -> None:
    assert log_of(Sampling(0.5), 2**63 - 1).takes(None)
    assert not log_of(Sampling(0.5), 2**63).takes(None)


def test_so_many_a_second_get_lines() -> None:
    log = log_of(Sampling(1.0, 2.0))

    assert [log.takes(None) for _ in range(4)] == [True, True, False, False]
