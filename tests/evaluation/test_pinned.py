"""Asking a running gateway for a version by its number; a server of this process plays the gateway."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from gateway.evaluation.errors import CannotEvaluate
from gateway.evaluation.pinned import asked_gateway
from gateway.evaluation.recorded import read_recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.evaluation.recorded import RecordedRequest

LINES = [
    json.dumps({
        "id": f"r-{each}", "version": "1", "redacted": False, "at_ms": 1,
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [each], "parameters": {"a": 1}}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 1], "data": [each]}],
    }).encode()
    for each in range(3)
]  # fmt: skip
GOOD = b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 1], "data": [2.5]}]}'


class Played(ThreadingHTTPServer):
    """Answers each request with the next of *answers*, and keeps what it was asked."""

    answers: list[tuple[int, bytes]]
    asked: list[tuple[str, Any]]
    slow_seconds = 0.0

    def handle_error(self, *_: object) -> None:
        """Say nothing of who asked and did not wait."""


class Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Played

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, json.loads(body)))
        time.sleep(self.server.slow_seconds)
        status, content = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[Played]:
    with Played(("127.0.0.1", 0), Exchange) as server:
        server.answers, server.asked = [(200, GOOD)] * 3, []
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def requests() -> Sequence[RecordedRequest]:
    return read_recorded(LINES, "here")


def address(gateway: Played) -> str:
    return f"http://127.0.0.1:{gateway.server_address[1]}"


def test_each_request_goes_to_the_version_as_a_caller_would_send_it(
    gateway: Played, requests: Sequence[RecordedRequest]
) -> None:
    answers = asked_gateway(address(gateway), "fraud", 7, requests, seconds=10)

    assert [path for path, _ in gateway.asked] == ["/v2/models/fraud/versions/7/infer"] * 3
    assert gateway.asked[2][1] == {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [2]}]}
    assert [each["y"].values.tolist() for each in answers.outputs if not isinstance(each, str)] == [[[2.5]]] * 3
    assert len(answers.milliseconds) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, b'{"error": "input x is FP64"}'), "fails: 400 input x is FP64"),
        ((503, b"busy\nnow"), "fails: 503 busy now"),
        ((500, b""), "fails: 500 no reason"),
        ((200, b"<html>"), "is answered with what is no answer"),
        ((200, b"[]"), "is answered with what is no answer"),
        ((200, b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1]}]}'), "does not fill FP32"),
    ],
)
def test_a_request_without_a_good_answer_is_unanswered_and_the_others_go_on(
    gateway: Played, requests: Sequence[RecordedRequest], answer: tuple[int, bytes], said: str
) -> None:
    gateway.answers[1] = answer

    answers = asked_gateway(address(gateway), "fraud", 7, requests, seconds=10)

    assert [isinstance(each, str) for each in answers.outputs] == [False, True, False]
    assert said in str(answers.outputs[1])


def test_a_version_that_the_gateway_does_not_have_ends_the_replay(
    gateway: Played, requests: Sequence[RecordedRequest]
) -> None:
    gateway.answers[0] = (404, b'{"error": "there is no version 7"}')

    with pytest.raises(CannotEvaluate, match=r"has no version 7 of fraud: there is no version 7; name one with"):
        asked_gateway(address(gateway), "fraud", 7, requests, seconds=10)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8080", "no address"),
        ("ftp://host", "no address"),
        ("http://host:x", "no address"),
        ("http://127.0.0.1:1", "does not answer (ConnectionRefusedError"),
    ],
)
def test_where_no_gateway_answers_the_replay_says_so(url: str, said: str, requests: Sequence[RecordedRequest]) -> None:
    with pytest.raises(CannotEvaluate) as caught:
        asked_gateway(url, "fraud", 7, requests, seconds=10)

    assert said in str(caught.value)
    assert "http://127.0.0.1:8080" in str(caught.value)


def test_all_requests_together_have_a_time(gateway: Played, requests: Sequence[RecordedRequest]) -> None:
    gateway.slow_seconds = 0.6

    with pytest.raises(CannotEvaluate, match=r"does not answer|answered 2 of 3 requests in 1 s"):
        asked_gateway(address(gateway), "fraud", 7, requests, seconds=1)


def test_an_answer_without_end_is_given_up(
    gateway: Played, requests: Sequence[RecordedRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.evaluation.pinned.MAX_ANSWER_BYTES", 10)

    with pytest.raises(CannotEvaluate, match="more than 10 bytes"):
        asked_gateway(address(gateway), "fraud", 7, requests, seconds=10)
