"""Nothing is smuggled through a proxy: every row of broken framing goes through haproxy to a real gateway.

Each is followed by a second request on the same connection, and some hold one in their body; both ask a model of their
own, which nobody else asks. Three count: the caller its answers, haproxy what it read and forwarded, the upstream what
it ran. Then somebody else asks over the connection that haproxy kept.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import socket
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.engine import graphs
from tests.faults.balancer import needs_haproxy
from tests.flows import metrics
from tests.flows.conftest import SEEDED_SECONDS, close_all, prepare, seeded
from tests.flows.credulous import credulous
from tests.flows.gateway_process import eventually
from tests.flows.haproxy import Haproxy, Logged
from tests.flows.test_wire import answers
from tests.flows.wire_cases import BODY, CONNECTION, INFER, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.flows.credulous import Credulous
    from tests.flows.gateway_process import Gateway

pytestmark = needs_haproxy

PATIENCE: Final = 5.0
PAUSE_SECONDS: Final = 0.005
SETTLED_SECONDS: Final = 2.0
LIMITS: Final = "head=0.6s,body=0.6s,write=0.6s"
MARKED: Final = INFER.replace("fp32", "marked")
ROWS: Final = range(15, 28)
"""Those of broken framing: two lengths, lengths and chunks, what is no length, no chunk and no HTTP/1.1."""

CASES: Final = {name: text for name, (_, text) in CONNECTION.items() if int(name.split()[0][1:]) in ROWS}
NUMBERS: Final = itertools.count(1000)
"""What everybody else sends, and has to get back: each another number."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to see of one hostile text and of the one who asked next, through one door or several.

    answers: statuses, by the port of the caller who got them. logged: what haproxy read from all of them.
    ran: how many requests the upstream counted, by path. strangers: who asked next and got no answer of their own.
    """

    answers: Mapping[int, list[int]]
    logged: list[Logged]
    ran: Mapping[str, int]
    strangers: list[str]


def breaks(seen: Seen) -> list[str]:
    """Return what is wrong: nothing, where all agree about where each request ends."""
    read = Counter(each.caller for each in seen.logged)
    forwarded = [each for each in seen.logged if each.is_forwarded]
    found = [f"{name} got no answer of its own" for name in seen.strangers]
    found += [
        f"{statuses} answer {read[caller]} requests" for caller, statuses in seen.answers.items()
        if len(statuses) > read[caller]
    ]  # fmt: skip
    for path in (INFER, MARKED):
        sent = [each for each in forwarded if each.path == path]
        answered, counted = sum(map(_is_ok, sent)), seen.ran.get(path, 0)
        if not answered <= counted <= len(sent):
            found.append(f"{path}: {len(sent)} forwarded, {answered} answered, {counted} counted")
    others = [each for each in forwarded if _is_ok(each) and each.asked not in {"-", each.answered}]
    return found + [f"the answer of another: {each}" for each in others]


def _is_ok(logged: Logged) -> bool:
    return logged.status == 200


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two models that give back what they get: ``fp32``, which everybody asks, and ``marked``."""
    root = tmp_path_factory.mktemp("smuggling")
    for name in ("fp32", "marked"):
        file = root / "models" / name / "1" / "model.onnx"
        file.parent.mkdir(parents=True)
        inputs, outputs = ([graphs.value(each, shape=["n", 4])] for each in "XY")
        file.write_bytes(graphs.graph(graphs.node("Identity", ["X"], ["Y"]), inputs=inputs, outputs=outputs))
        os.utime(file, (0, 0))  # it is no copy under way that the gateway would wait for
    gateway = prepare(root, models=root / "models", workers=1, flags=["--limits", LIMITS])
    gateway.start()
    eventually(lambda: seeded(gateway), SEEDED_SECONDS, "every route is in the store and on every worker")
    workers = gateway.worker_pids()
    yield gateway
    left = gateway.worker_pids()
    close_all([gateway])
    assert left == workers


@pytest.fixture(scope="module")
def other() -> Iterator[Credulous]:
    with credulous() as server:
        yield server


@pytest.fixture(scope="module")
def haproxy(tmp_path_factory: pytest.TempPathFactory, gateway: Gateway, other: Credulous) -> Iterator[Haproxy]:
    with Haproxy(tmp_path_factory.mktemp("haproxy"), gateway=gateway.port, other=other.port) as proxy:
        yield proxy


def request(path: str, name: str, body: str = BODY, more: str = "") -> str:
    """Return a valid request; *name* is its x-request-id, *more* are header lines."""
    named = f"Host: gateway\r\nx-request-id: {name}\r\n{more}"
    return f"POST {path} HTTP/1.1\r\n{named}Content-Length: {len(body)}\r\n\r\n{body}"


def hostile(text: str, body: str) -> bytes:
    """Return *text* with *body*, and the marked request behind it."""
    named = re.sub("Host: gateway(\\r?\\n)", r"Host: gateway\1x-request-id: hostile\1", text, count=1)
    return filled(named, body) + request(MARKED, "behind", more="Connection: close\r\n").encode()


BODIES: Final = (BODY, request(MARKED, "inside"))
CHUNKED_TOO: Final = "B15 length, then chunked"


def exchange(port: int, sent: bytes, pause_seconds: float = 0.0) -> tuple[int, list[tuple[int, bytes, bytes]]]:
    """Send all of it, end our side, and return our port and every answer that comes until the other side ends.

    With a pause behind the first head haproxy has forwarded that before it reads what follows.
    """
    head, blank, rest = sent.partition(b"\r\n\r\n" if pause_seconds else sent)
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as caller:
        port = caller.getsockname()[1]
        with contextlib.suppress(OSError):  # refused before all was sent
            caller.sendall(head + blank)
            time.sleep(pause_seconds)
            caller.sendall(rest)
            caller.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while piece := caller.recv(65_536):
                received += piece
        return port, answers(received)


def next_request(name: str) -> tuple[bytes, Callable[[list[tuple[int, bytes, bytes]]], bool]]:
    """Return what somebody else asks, and what says whether the answers are the one to it."""
    number = f"{next(NUMBERS)}.5"
    body = BODY.replace("[1, 2, 3, 4]", json.dumps([float(number)] * 4))

    def is_own(got: list[tuple[int, bytes, bytes]]) -> bool:
        return [
            (status, f"x-request-id: {name}".encode() in top, number.encode() in content)
            for status, top, content in got
        ] == [(200, True, True)]

    return request(INFER, name, body, "Connection: close\r\n").encode(), is_own


def see(
    haproxy: Haproxy,
    doors: Sequence[str],
    texts: Sequence[bytes],
    ran: Callable[[], Counter[str]],
    pauses: Sequence[float] = (0.0,),
) -> Seen:
    """Send each text through each door, ask next each time, and return what is seen once haproxy has logged it."""
    before, known = ran(), len(haproxy.logged())
    answered: dict[int, list[int]] = {}
    strangers = []
    for door, sent, pause_seconds in itertools.product(doors, texts, pauses):
        name = f"next-{len(answered)}"
        asked, is_own = next_request(name)
        for each, seconds in ((sent, pause_seconds), (asked, 0.0)):
            caller, got = exchange(haproxy.ports[door], each, seconds)
            answered[caller] = [status for status, _, _ in got]
        if not is_own(got):
            strangers.append(name)

    def logged() -> list[Logged]:
        return [each for each in haproxy.logged()[known:] if each.caller in answered]

    eventually(lambda: {each.caller for each in logged()} == set(answered), SETTLED_SECONDS, "haproxy has logged all")
    return Seen(answered, logged(), ran() - before, strangers)


def ran_by(gateway: Gateway) -> Counter[str]:
    """Return how many requests the gateway has counted, by path, whatever became of them."""
    counts: Counter[str] = Counter()
    for labels, value in metrics.scrape(gateway).get("gateway_requests_total", {}).items():
        counts[f"/v2/models/{dict(labels)['model']}/infer"] += int(value)
    return counts


def test_every_row_of_broken_framing_is_sent() -> None:
    assert {int(name.split()[0][1:]) for name in CASES} == set(ROWS)


@pytest.mark.parametrize("case", CASES)
def test_broken_framing_smuggles_nothing_through_haproxy(gateway: Gateway, haproxy: Haproxy, case: str) -> None:
    texts = [hostile(CASES[case], body) for body in BODIES]

    seen = see(haproxy, ["strict", "lax"], texts, lambda: ran_by(gateway), pauses=(0.0, PAUSE_SECONDS))

    assert breaks(seen) == []


def test_who_asks_next_has_the_connection_of_the_hostile_caller(gateway: Gateway, haproxy: Haproxy) -> None:
    seen = see(haproxy, ["strict"], [hostile(CASES[CHUNKED_TOO], BODY)], lambda: ran_by(gateway))

    assert [each.path for each in seen.logged] == [INFER, INFER]
    assert len({each.link for each in seen.logged}) == 1


def test_what_haproxy_lets_by_is_refused_by_the_gateway(gateway: Gateway, haproxy: Haproxy) -> None:
    seen = see(haproxy, ["lax"], [hostile(CASES["B22 space before the colon"], BODY)], lambda: ran_by(gateway))

    assert (seen.logged[0].is_forwarded, seen.logged[0].status) == (True, 400)


def test_control_an_upstream_that_knows_no_chunks_is_smuggled_into(haproxy: Haproxy, other: Credulous) -> None:
    texts = [hostile(CASES[CHUNKED_TOO], BODIES[1])]

    seen = see(haproxy, ["control"], texts, lambda: other.counted.copy())

    found = breaks(seen)
    assert f"{MARKED}: 0 forwarded, 0 answered, 1 counted" in found
    assert "next-0 got no answer of its own" in found
    assert any(each.startswith("the answer of another") and "answered='inside'" in each for each in found)
