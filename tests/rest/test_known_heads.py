"""A head that came before is not parsed again, and no caller can tell: what it says is what it said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.core.limits import Limits
from gateway.rest.known_heads import MAX_KNOWN, MAX_SEEN, KnownHeads
from gateway.rest.request_head import RequestHead
from gateway.rest.shortcut import ShortCut
from tests.rest.door import ROW, FakeDoor, request, send_all_to, tensor
from tests.rest.in_memory import HEAD, REQUEST, Wire, connected
from tests.rest.test_both_doors import MAX_BODY, SAME, chunked, post
from tests.serving.fakes import a_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHER = json.dumps(request(tensor("x", "FP32", (1, 2), [3, 4]))).encode()
ENOUGH = 3
"""So often a head comes before it is known on a connection whose first request it was."""


@pytest.fixture
async def door() -> FakeDoor:
    made = FakeDoor(max_body=MAX_BODY)
    made.floor.held.hold("fraud", 1)
    made.floor.held.hold("fraud", 2)
    send_all_to(made, 1)
    return made


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the URLs of the heads that a parser reads from now on."""
    urls: list[bytes] = []
    before = ShortCut.on_headers_complete

    def see(self: ShortCut) -> None:
        urls.append(self.url)
        before(self)

    monkeypatch.setattr(ShortCut, "on_headers_complete", see)
    return urls


async def send(pair: tuple[ShortCut, Wire], *pieces: bytes) -> bytes:
    """Send the *pieces* of one request, and return what is answered, empty where nothing is."""
    protocol, wire = pair
    wire.written.clear()
    for piece in pieces:
        if not wire.is_closed:
            protocol.data_received(piece)
    await a_turn()
    return b"".join(wire.written)


def statuses(pair: tuple[ShortCut, Wire]) -> list[bytes]:
    """Return the statuses of what was answered since the last request was sent."""
    return [part[:3] for part in b"".join(pair[1].written).split(b"HTTP/1.1 ")[1:]]


def told(answer: bytes) -> tuple[bytes, tuple[bytes, ...], bytes]:
    """Return status, headers and body without what differs from request to request."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    named = next((each for each in headers if each.startswith(b"x-request-id: ")), b"").partition(b" ")[2]
    kept = tuple(each for each in headers if not each.startswith((b"x-request-id", b"content-length")))
    return status, kept, body.replace(named, b"ID") if named else body


async def test_a_head_that_came_twice_is_not_parsed_again(door: FakeDoor, parsed: list[bytes]) -> None:
    [pair] = connected(door, 1)

    answers = [await send(pair, REQUEST) for _ in range(5)]

    assert len(parsed) == 2
    assert len(set(map(told, answers))) == 1


async def test_what_one_connection_sent_is_known_on_all(door: FakeDoor, parsed: list[bytes]) -> None:
    first, second = connected(door, 2)
    for _ in range(ENOUGH):
        await send(first, REQUEST)
    await send(second, REQUEST)
    parsed.clear()

    assert (await send(second, REQUEST)).startswith(b"HTTP/1.1 200 ")
    assert not parsed


async def test_the_first_request_of_a_connection_is_parsed(door: FakeDoor, parsed: list[bytes]) -> None:
    first, second = connected(door, 2)
    for _ in range(ENOUGH):
        await send(first, REQUEST)
    parsed.clear()

    await send(second, REQUEST)

    assert len(parsed) == 1


async def test_each_request_under_a_known_head_has_its_own_body_and_its_own_id(door: FakeDoor) -> None:
    [pair] = connected(door, 1)
    assert len(OTHER) == len(json.dumps(ROW).encode())
    answers = [await send(pair, REQUEST) for _ in range(ENOUGH)]

    answers.append(await send(pair, HEAD % len(OTHER) + OTHER))

    read = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in answers]
    assert [each["outputs"][0]["data"] for each in read] == [[2.0, 4.0]] * ENOUGH + [[6.0, 8.0]]
    assert len({each["id"] for each in read}) == ENOUGH + 1


async def begun(door: FakeDoor) -> Sequence[tuple[ShortCut, Wire]]:
    """Return connections of one worker that had a request already: the first of each is parsed."""
    pairs = connected(door, ENOUGH)
    for pair in pairs:
        await send(pair, post("/v2/models/fraud/versions/2/infer"))
    return pairs


@pytest.mark.parametrize("name", SAME)
async def test_a_known_head_is_answered_as_it_was_when_it_was_new(door: FakeDoor, name: str) -> None:
    answers = [await send(pair, SAME[name]) for pair in await begun(door)]

    assert told(answers[-1]) == told(answers[0])
    assert answers[0]


async def test_what_is_known_of_a_head_is_not_where_it_goes(door: FakeDoor) -> None:
    [pair] = connected(door, 1)
    for _ in range(ENOUGH):
        await send(pair, REQUEST)

    send_all_to(door, 2, revision=8)
    moved = await send(pair, REQUEST)
    door.table.drop("fraud")
    gone = await send(pair, REQUEST)

    assert b"x-gateway-version: 2\r\nx-gateway-revision: 8\r\n" in moved
    assert gone.startswith(b"HTTP/1.1 503 ")
    assert b"version_unavailable" in gone


@pytest.mark.parametrize(
    "pieces",
    [(REQUEST[:20], REQUEST[20:]), (REQUEST[:-9], REQUEST[-9:]), (b"\r\n" + REQUEST,), (b"\r\n\r\n", REQUEST)],
    ids=["the head in two", "the body in two", "behind a line break", "behind line breaks"],
)
async def test_a_known_head_that_comes_otherwise_is_parsed(
    door: FakeDoor, parsed: list[bytes], pieces: Sequence[bytes]
) -> None:
    [pair] = connected(door, 1)
    for _ in range(ENOUGH):
        await send(pair, REQUEST)

    for _ in range(ENOUGH):
        assert (await send(pair, *pieces)).count(b"HTTP/1.1 200 ") == 1
    assert (await send(pair, REQUEST)).count(b"HTTP/1.1 200 ") == 1


async def test_line_breaks_between_requests_are_no_head(door: FakeDoor) -> None:
    [pair] = connected(door, 1)
    empty = post("/v2/models/fraud/infer", b"")
    for _ in range(ENOUGH):
        await send(pair, empty)

    assert [await send(pair, b"\r\n\r\n") for _ in range(ENOUGH)] == [b""] * ENOUGH


async def test_two_known_requests_in_one_read_are_answered_in_their_order(door: FakeDoor) -> None:
    [pair] = connected(door, 1)
    pinned = post("/v2/models/fraud/versions/2/infer")
    for _ in range(ENOUGH):
        await send(pair, REQUEST)
        await send(pair, pinned)

    answer = await send(pair, REQUEST + pinned)
    for _ in range(10):
        await a_turn()

    assert b"".join(pair[1].written).startswith(answer)
    versions = [part[:1] for part in b"".join(pair[1].written).split(b"x-gateway-version: ")[1:]]
    assert versions == [b"1", b"2"]


async def test_a_known_head_behind_a_request_under_way_waits_for_its_turn(door: FakeDoor) -> None:
    """The second could be refused at once, before the first has run."""
    [pair] = connected(door, 1)
    no_json = post("/v2/models/fraud/infer", b"hello")
    for _ in range(ENOUGH):
        await send(pair, REQUEST)
        await send(pair, no_json)

    await send(pair, REQUEST, no_json)
    for _ in range(10):
        await a_turn()

    assert statuses(pair) == [b"200", b"400"]


async def test_a_head_whose_body_comes_in_chunks_is_not_known(door: FakeDoor) -> None:
    [pair] = connected(door, 1)
    whole = chunked(json.dumps(ROW).encode(), 7)
    end = whole.index(b"\r\n\r\n") + 4
    for _ in range(ENOUGH):
        await send(pair, whole)

    await send(pair, whole[:end], whole[end:])

    assert statuses(pair) == [b"200"]


async def test_a_head_that_comes_before_its_chunks_is_not_known(door: FakeDoor) -> None:
    pair, other = connected(door, 2)
    head, blank, chunks = chunked(json.dumps(ROW).encode(), 7).partition(b"\r\n\r\n")

    for each in [pair, other] * ENOUGH:
        await send(each, head + blank, chunks)

        assert statuses(each) == [b"200"]


async def test_a_known_request_in_the_body_of_another_is_no_request(door: FakeDoor) -> None:
    [pair] = connected(door, 1)
    for _ in range(ENOUGH):
        await send(pair, REQUEST)

    await send(pair, HEAD % len(REQUEST), REQUEST)
    assert statuses(pair) == [b"400"]
    await send(pair, (HEAD % len(REQUEST)).replace(b"fraud", b"ghost"), REQUEST)
    assert statuses(pair) == [b"404"]


async def test_a_known_request_in_the_head_of_another_is_no_request(door: FakeDoor) -> None:
    [pair] = connected(door, 1)
    for _ in range(ENOUGH):
        await send(pair, REQUEST)

    await send(pair, b"POST /v2/models/fraud", REQUEST)

    assert statuses(pair) == [b"400"]


async def test_the_end_of_one_request_and_the_head_of_the_next_are_no_head(door: FakeDoor) -> None:
    [pair] = connected(door, 1)
    no_json = post("/v2/models/fraud/infer", b"hello")
    for _ in range(ENOUGH):
        await send(pair, no_json[:-1], b"o" + REQUEST)
        assert statuses(pair) == [b"400", b"200"]

    await send(pair, b"o" + REQUEST)

    assert statuses(pair) == [b"400"]


async def test_a_caller_that_pours_in_more_than_the_body_is_parsed(door: FakeDoor) -> None:
    [pair] = connected(door, 1, limits=Limits())
    for _ in range(ENOUGH):
        await send(pair, REQUEST)

    answer = await send(pair, REQUEST + b"\0")

    assert b"HTTP/1.1 400 " in answer or b"HTTP/1.1 200 " in answer
    assert pair[0].is_over


async def test_a_known_head_that_ends_its_connection_ends_it(door: FakeDoor, parsed: list[bytes]) -> None:
    last = post("/v2/models/fraud/infer", json.dumps(ROW).encode(), "Connection: close")
    *others, pair = await begun(door)
    for other in others:
        await send(other, last)
    parsed.clear()

    answer = await send(pair, last)

    assert b"connection: close\r\n" in answer
    assert pair[1].is_closed
    assert not parsed


KNOWN = RequestHead([], {}), ("fraud", None), True


def test_a_head_that_came_once_is_not_kept() -> None:
    heads = KnownHeads()

    heads.came(b"a", KNOWN)
    assert heads.get(b"a") is None
    heads.came(b"a", KNOWN)
    assert heads.get(b"a") is KNOWN


def test_heads_are_forgotten_before_there_are_too_many() -> None:
    heads = KnownHeads()
    for number in range(4 * MAX_SEEN):
        heads.came(b"%d" % number, KNOWN)
        heads.came(b"%d" % number, KNOWN)

    assert 0 < len(heads._known) <= MAX_KNOWN
    assert 0 < len(heads._seen) <= MAX_SEEN
