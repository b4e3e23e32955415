"""Nothing that is sent to a worker hurts it: every row goes over a raw socket to a real gateway with two of them."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.engine import graphs
from tests.flows import metrics
from tests.flows.conftest import SEEDED_SECONDS, close_all, prepare, seeded
from tests.flows.gateway_process import eventually
from tests.flows.wire_cases import BODY, COMPRESSED, CONNECTION, INFER, PATHS_AND_HEADERS, filled, get, head, header
from tests.rest.test_bad_inputs import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.flows.gateway_process import Gateway

LEAKS: Final = (b"Traceback", b"onnxruntime_src", b"/usr/", b"site-packages", b".py")
LIMITS: Final = "head=0.6s,body=0.6s,write=0.6s,connections=40"
PATIENCE: Final = 5.0
"""How long a caller waits for its answer; every deadline of this gateway is far shorter."""

VALID: Final = filled(header("X-A: a"))
ROUTE: Final = 'split: {"1": 1}\nassign: {by: "header:x-user-id", missing: random, salt: wire}'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """An identity model per datatype, Y = X of [-1, 4]; ``any`` takes any shape."""
    root = tmp_path_factory.mktemp("wire")
    models = root / "models"
    kinds: dict[str, tuple[int, tuple[str | int, ...]]] = {
        name.lower(): (kind, ("n", 4)) for name, kind in graphs.KINDS.items()
    } | {
        "any": (graphs.FLOAT, ("n", "m")),
        "fixed": (graphs.FLOAT, (1, 4)),
    }
    for name, (kind, shape) in kinds.items():
        file = models / name / "1" / "model.onnx"
        file.parent.mkdir(parents=True)
        file.write_bytes(
            graphs.graph(
                graphs.node("Identity", ["X"], ["Y"]),
                inputs=[graphs.value("X", kind, shape)],
                outputs=[graphs.value("Y", kind, shape)],
            )
        )
    routes = root / "routes"
    routes.mkdir()
    (routes / "fp32.yaml").write_text(f"model: fp32\n{ROUTE}\n")
    flags = ["--limits", LIMITS, "--max-body", "8m", "--log-format", "json"]
    gateway = prepare(root, models=models, routes=routes, flags=flags)
    gateway.start()
    eventually(lambda: seeded(gateway), SEEDED_SECONDS, "every route is in the store and on every worker")
    known = series(gateway, kinds)
    yield gateway
    assert series(gateway) <= known
    assert all(isinstance(json.loads(line), dict) for line in gateway.stderr().splitlines())
    close_all([gateway])


def series(gateway: Gateway, kinds: Iterable[str] = ()) -> set[tuple[str, str]]:
    """Return model and version of every series there is; *kinds* have theirs from the first request on."""
    found = {
        (dict(labels).get("model", ""), dict(labels).get("version", ""))
        for samples in metrics.scrape(gateway).values()
        for labels in samples
    }
    return found | {(kind, version) for kind in (*kinds, "_unknown") for version in ("1", "_none")}


@pytest.fixture(autouse=True)
def unhurt(gateway: Gateway) -> Iterator[None]:
    """After every case both workers are those of before, say that they live, and answer."""
    before = gateway.worker_pids()
    yield
    assert gateway.worker_pids() == before
    assert status(exchange(gateway, filled(get("/v2/health/live")))) == 200
    assert status(exchange(gateway, VALID)) == 200


def connect(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE)


def exchange(gateway: Gateway, sent: bytes, *, wants: int = 1) -> bytes:
    """Send *sent* and return what comes back: until the close, or until *wants* answers are whole."""
    with connect(gateway) as caller:
        sender = threading.Thread(target=_send, args=(caller, sent))
        sender.start()
        try:
            return _receive(caller, wants)
        finally:
            with contextlib.suppress(OSError):
                caller.shutdown(socket.SHUT_RDWR)
            sender.join()


def _send(caller: socket.socket, sent: bytes) -> None:
    with contextlib.suppress(OSError):  # refused before all was sent
        caller.sendall(sent)


def _send_for_ever(caller: socket.socket, sent: bytes) -> None:
    while True:
        caller.sendall(sent)


def _receive(caller: socket.socket, wants: int) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while len(answers(received)) < wants and (piece := caller.recv(65_536)):
            received += piece
    return received


def answers(received: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return status, head and body of every whole answer; an answer to HEAD has no body, a 100 no end."""
    found, rest = [], received
    while b"\r\n\r\n" in rest:
        top, _, rest = rest.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in top.split(b"\r\n")[1:])
        length = int(lines.get(b"content-length", b"0"))
        if len(rest) < length:
            break
        found.append((int(top.split()[1]), top, rest[:length]))
        rest = rest[length:]
    return found


def status(received: bytes) -> int:
    """Return the status of the first answer; 0 where there is none."""
    return int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/1.1 ") else 0


def resident(gateway: Gateway) -> int:
    """Return what the workers hold in memory, KiB."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in gateway.worker_pids()]
    return sum(int(text.split("VmRSS:")[1].split()[0]) for text in texts)


ALL: Final = {**CONNECTION, **PATHS_AND_HEADERS}


@pytest.mark.parametrize("case", ALL)
def test_hostile_bytes_are_refused_and_harm_nobody(gateway: Gateway, case: str) -> None:
    expected, text = ALL[case]
    began = time.monotonic()

    received = exchange(gateway, filled(text))

    assert status(received) in (expected if isinstance(expected, tuple) else (expected,)), received[:500]
    assert time.monotonic() - began < PATIENCE
    assert not any(leak in received for leak in LEAKS)
    if status(received) >= 400 and not case.startswith("B34 HEAD"):
        ((_, top, body),) = answers(received)
        assert b"content-type: application/json\r\n" in top + b"\r\n"
        assert set(json.loads(body)) >= {"error", "code"}


@pytest.mark.parametrize("case", ROWS)
def test_a_bad_body_gets_the_same_answer_from_a_real_model(gateway: Gateway, case: str) -> None:
    expected, model, body = ROWS[case]
    top = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: gateway\r\nContent-Length: {len(body)}\r\n\r\n"

    received = exchange(gateway, top.encode() + body)

    assert status(received) == expected, received[:500]
    assert not any(leak in received for leak in LEAKS)


@pytest.mark.parametrize("case", COMPRESSED)
def test_a_compressed_body_is_read_or_refused_within_a_second(gateway: Gateway, case: str) -> None:
    expected, coding, body = COMPRESSED[case]
    top = f"POST {INFER} HTTP/1.1\r\nHost: gateway\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    before = resident(gateway)
    began = time.monotonic()

    received = exchange(gateway, top.encode() + body)

    assert status(received) == expected, received[:500]
    assert time.monotonic() - began < 1.0
    assert resident(gateway) - before < 32 * 1024  # the body may have 8 MiB


@pytest.mark.parametrize("text", ["POST INFER HTTP/1.1\r\n", head("Content-Length: 99\r\n\r\n")], ids=["head", "body"])
def test_a_caller_that_drips_is_cut_off_in_time_for_all_of_it(gateway: Gateway, text: str) -> None:
    began = time.monotonic()

    with connect(gateway) as caller:
        caller.sendall(filled(text))
        caller.settimeout(0.1)
        received = b""
        while not received and time.monotonic() - began < PATIENCE:
            with contextlib.suppress(TimeoutError):
                received = caller.recv(1000)
            if not received:
                caller.sendall(b"x" if "Length" in text else b"X-A: b\r\n")

    assert status(received) == 408
    assert 0.5 < time.monotonic() - began < 2.0


def test_a_second_request_may_be_as_slow_as_the_first_and_no_slower(gateway: Gateway) -> None:
    with connect(gateway) as caller:
        caller.sendall(VALID)
        first = _receive(caller, 1)
        time.sleep(0.8)  # idle longer than the deadline of a head: that counts from the first byte
        caller.sendall(VALID[:20])
        second = _receive(caller, 1)

    assert (status(first), status(second)) == (200, 408)


def test_pipelined_requests_are_answered_in_order_and_only_so_many(gateway: Gateway) -> None:
    three = answers(
        exchange(gateway, b"".join(VALID.replace(b"X-A: a", b"x-request-id: %d" % n) for n in range(3)), wants=3)
    )
    many = answers(exchange(gateway, VALID * 10_000, wants=10_001))

    assert [(found, f"x-request-id: {n}".encode() in top) for n, (found, top, _) in enumerate(three)] == [
        (200, True)
    ] * 3
    assert 0 < len(many) < 10_000
    assert {found for found, _, _ in many} == {200}


def test_a_request_behind_a_broken_one_is_never_run_and_one_before_it_is(gateway: Gateway) -> None:
    broken = filled(head("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))

    found = answers(exchange(gateway, VALID + broken + VALID, wants=9))

    assert [each for each, _, _ in found] == [200]


def test_a_connection_stays_framed_behind_a_get_with_a_body(gateway: Gateway) -> None:
    odd = b"GET /v2/health/live HTTP/1.1\r\nHost: gateway\r\nContent-Length: 4\r\n\r\nabcd"

    assert [found for found, _, _ in answers(exchange(gateway, odd + VALID, wants=2))] == [200, 200]


def test_a_caller_that_ends_its_side_is_answered(gateway: Gateway) -> None:
    with connect(gateway) as caller:
        caller.sendall(VALID)
        caller.shutdown(socket.SHUT_WR)
        received = _receive(caller, 9)

    assert [found for found, _, _ in answers(received)] == [200]


def test_a_caller_that_resets_in_mid_body_is_counted_as_cancelled(gateway: Gateway) -> None:
    def cancelled() -> int:
        text = gateway.ask("GET", "/metrics", base=gateway.admin).body.decode()
        lines = [line for line in text.splitlines() if line.startswith("gateway_requests_total{")]
        return sum(int(float(line.split()[-1])) for line in lines if 'outcome="cancelled"' in line)

    before = cancelled()
    caller = connect(gateway)
    caller.sendall(filled(head("Content-Length: 99\r\n\r\n{")))
    time.sleep(0.1)
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.close()

    eventually(lambda: cancelled() == before + 1, 5, "the request is counted as cancelled")


def test_a_caller_that_never_reads_is_cut_off(gateway: Gateway) -> None:
    rows = json.dumps([1.5] * 16_384)
    body = BODY.replace("[1, 4]", "[4096, 4]").replace("[1, 2, 3, 4]", rows).encode()
    request = f"POST {INFER} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    began = time.monotonic()

    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.settimeout(PATIENCE)
        caller.connect(("127.0.0.1", gateway.port))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            _send_for_ever(caller, request)

    assert time.monotonic() - began < PATIENCE * 2


def test_connections_over_the_limit_are_told_to_come_back(gateway: Gateway) -> None:
    held: list[Any] = []
    refused: list[bytes] = []
    try:
        for _ in range(100):  # two workers of 40
            caller = connect(gateway)
            held.append(caller)
            caller.settimeout(0.002)
            with contextlib.suppress(TimeoutError):
                refused.append(caller.recv(1000))
    finally:
        for caller in held:
            caller.close()

    assert refused
    assert {status(each) for each in refused} == {503}
    assert all(b"retry-after: 1\r\n" in each and b"x-request-id: " in each for each in refused)


def test_a_header_of_20_megabytes_is_not_kept(gateway: Gateway) -> None:
    sent = filled(header("X-A: " + "a" * 20_000_000))
    exchange(gateway, sent)
    before = resident(gateway)
    for _ in range(4):
        exchange(gateway, sent)

    assert resident(gateway) - before < 1024


def test_the_admin_port_has_the_same_guard(gateway: Gateway) -> None:
    port = int(gateway.admin.rsplit(":", 1)[1])
    found = []

    for text in ("GET /metrics HTTP/1.1\r\n\r\n", header("X-A: " + "a" * 40_000), "GET /met"):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as caller:
            caller.sendall(filled(text))
            found.append(status(_receive(caller, 1)))

    assert found == [400, 431, 408]
