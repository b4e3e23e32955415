"""gzip and deflate: what is inflated, what is refused, and how little a bomb costs."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType
from gateway.rest.compression import WORTHWHILE_BYTES, accepted, coding_of, compressed
from gateway.serving.inflating import MAX_MEMBERS, Inflater
from tests.rest.door import ROW, FakeDoor, request, tensor

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = json.dumps(ROW).encode()
PACK: Final[dict[bytes, Callable[[bytes], bytes]]] = {b"gzip": gzip.compress, b"deflate": zlib.compress}
MEBIBYTE = 1 << 20


def inflated(coding: bytes, sent: bytes, *, limit: int = MEBIBYTE, step: int = 64 << 10) -> bytes:
    inflater = Inflater(coding, limit)
    whole = b"".join(inflater.take(sent[start : start + step]) for start in range(0, len(sent), step))
    inflater.end()
    return whole


def bomb(coding: bytes, mebibytes: int) -> bytes:
    """Return a stream that inflates to so many MiB of zeros: one block, said again and again."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeezer.compress(bytes(MEBIBYTE)) + squeezer.flush(zlib.Z_FULL_FLUSH)
    head = gzip.compress(b"")[:10] if coding == b"gzip" else b"\x78\x9c"
    return head + block * mebibytes


@given(st.binary(max_size=5000), st.sampled_from(sorted(PACK)), st.integers(1, 100))
def test_what_was_compressed_comes_back_however_it_is_cut(body: bytes, coding: bytes, step: int) -> None:
    assert inflated(coding, PACK[coding](body), step=step) == body


@given(st.binary(max_size=500), st.binary(max_size=500), st.integers(1, 100))
def test_gzip_of_two_members_is_both(first: bytes, second: bytes, step: int) -> None:
    assert inflated(b"gzip", gzip.compress(first) + gzip.compress(second), step=step) == first + second


@pytest.mark.parametrize("coding", sorted(PACK))
@given(st.data())
def test_a_stream_that_is_cut_anywhere_is_refused(coding: bytes, data: st.DataObject) -> None:
    whole = PACK[coding](BODY)
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(InvalidRequest, match="cut short"):
        inflated(coding, whole[:cut])


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("behind", [b"\0", b"{}", b"\x1f\x8b", b"\x1f\x8bnot a member"])
@pytest.mark.parametrize("coding", sorted(PACK))
def test_bytes_after_the_end_are_refused(coding: bytes, behind: bytes, step: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        inflated(coding, PACK[coding](BODY) + behind, step=step)

    assert caught.value.code == "invalid_encoding"


@pytest.mark.parametrize("coding", sorted(PACK))
def test_a_wrong_checksum_is_refused(coding: bytes) -> None:
    sent = bytearray(PACK[coding](BODY))
    sent[-5 if coding == b"gzip" else -1] ^= 1

    with pytest.raises(InvalidRequest, match="checksum"):
        inflated(coding, bytes(sent))


@pytest.mark.parametrize("coding", sorted(PACK))
def test_a_plain_body_under_a_coding_is_refused(coding: bytes) -> None:
    with pytest.raises(InvalidRequest):
        inflated(coding, BODY)


@pytest.mark.parametrize("coding", sorted(PACK))
@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_is_on_what_is_inflated_and_allowed_itself(coding: bytes, over: int) -> None:
    sent = PACK[coding](bytes(5000 + over))

    if over:
        with pytest.raises(RequestTooLarge):
            inflated(coding, sent, limit=5000)
    else:
        assert inflated(coding, sent, limit=5000) == bytes(5000)


@pytest.mark.parametrize("coding", sorted(PACK))
async def test_a_bomb_of_10_mb_that_holds_10_gb_is_refused_within_a_second_in_flat_memory(coding: bytes) -> None:
    door = FakeDoor(max_body=64 * MEBIBYTE)
    door.floor.held.hold("fraud", 1)
    door.adoption.settle()
    sent = bomb(coding, 10 << 10)
    pieces = [sent[start : start + (64 << 10)] for start in range(0, len(sent), 64 << 10)]
    began = time.process_time()

    reply = await door.ask("POST", "/v2/models/fraud/versions/1/infer", pieces, [("content-encoding", coding.decode())])

    assert 9_000_000 < len(sent) < 12_000_000
    assert reply.status == 413
    assert time.process_time() - began < 1


def test_a_bomb_costs_no_more_memory_than_the_limit() -> None:
    sent = bomb(b"gzip", 1024)
    tracemalloc.start()

    with pytest.raises(RequestTooLarge):
        inflated(b"gzip", sent, limit=MEBIBYTE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 * MEBIBYTE


def test_a_bomb_of_many_members_is_refused_by_their_sum() -> None:
    with pytest.raises(RequestTooLarge, match="inflates"):
        inflated(b"gzip", gzip.compress(bytes(100_000)) * 100, limit=MEBIBYTE)


def test_more_members_than_anybody_needs_are_refused() -> None:
    with pytest.raises(RequestTooLarge, match="members"):
        inflated(b"gzip", gzip.compress(b"") * (MAX_MEMBERS + 1))


@pytest.mark.parametrize(
    ("declared", "coding"),
    [([b"gzip"], b"gzip"), ([b"GZIP"], b"gzip"), ([b"x-gzip"], b"x-gzip"), ([b"deflate"], b"deflate"),
     ([b"identity"], None), ([b""], None), ([], None)],
)  # fmt: skip
def test_a_coding_is_known_by_its_name(declared: list[bytes], coding: bytes | None) -> None:
    assert coding_of(declared) == coding


@pytest.mark.parametrize(
    "declared", [[b"gzip, gzip"], [b"gzip", b"gzip"], [b"identity", b"gzip"], [b"br"], [b"zstd"], [b"gzip;q=1"]]
)
def test_a_coding_that_is_not_ours_and_two_at_once_are_refused(declared: list[bytes]) -> None:
    with pytest.raises(UnsupportedMediaType):
        coding_of(declared)


@pytest.mark.parametrize(
    ("offered", "coding"),
    [(b"gzip, deflate", b"gzip"), (b"deflate", b"deflate"), (b"gzip;q=0.5, deflate", b"deflate"), (b"*", b"gzip"),
     (b"GZIP", b"gzip"), (b"gzip;q=0", None), (b"gzip;q=0, *", b"deflate"), (b"identity, gzip;q=0.5", None),
     (b"br, zstd", None), (b"", None), (b"gzip;q=x", None), (b"gzip ; q=0.123", b"gzip"), (b";;,,=", None)],
)  # fmt: skip
def test_the_best_coding_that_both_sides_speak_is_taken(offered: bytes, coding: bytes | None) -> None:
    assert accepted(offered) == coding


@given(st.binary(max_size=60))
def test_no_offer_breaks_an_answer(offered: bytes) -> None:
    assert accepted(offered) in {None, b"gzip", b"deflate"}


@pytest.mark.parametrize("coding", sorted(PACK))
def test_small_answers_stay_plain(coding: bytes) -> None:
    large = bytes(WORTHWHILE_BYTES)

    assert compressed(large[1:], coding) == (large[1:], None)
    assert inflated(coding, compressed(large, coding)[0]) == large


async def test_errors_and_descriptions_are_never_compressed(door: FakeDoor) -> None:
    long_error = request(tensor("x" * 2000, "FP32", (1, 2), [1, 2]))

    refused = await door.infer("fraud", long_error, [("accept-encoding", "gzip")])
    described = await door.ask("GET", "/v2/models/fraud", b"", [("accept-encoding", "gzip")])

    assert (refused.status, refused.headers.get("content-encoding")) == (400, None)
    assert (described.status, described.headers.get("content-encoding")) == (200, None)
