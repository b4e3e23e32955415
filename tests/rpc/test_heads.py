"""Headers of callers, block by block of one connection."""

from __future__ import annotations

import pytest

from gateway.rpc.frames import Code, ConnectionFault
from gateway.rpc.heads import HeadReader, literal

STATIC = b"\x83\x86\x84"
""":method POST, :scheme http, :path /, as RFC 7541 numbers them."""


def added(name: bytes, value: bytes) -> bytes:
    """Return a header that enters the table."""
    return b"\x40" + literal(name, value)[1:]


def test_a_block_of_numbers_means_what_the_table_says_now() -> None:
    reader = HeadReader(100, 10_000)
    kind = added(b"content-type", b"application/grpc")
    same = STATIC + b"\xbe\xbf"

    seen = []
    for user in (b"ann", b"bob"):
        reader.read(STATIC + added(b"x-user", user) + kind)
        seen += [reader.read(same).metadata, reader.read(same).metadata]

    assert seen == [[("x-user", user)] for user in (b"ann", b"ann", b"bob", b"bob")]


@pytest.mark.parametrize("block", [b"\xff", b"\x40\x7f", b"\x00\x05ab", b"\xc0", b"\x20\x20\x20"])
def test_a_block_that_cannot_be_read_ends_the_connection(block: bytes) -> None:
    with pytest.raises(ConnectionFault) as caught:
        HeadReader(100, 10_000).read(STATIC + block if block[0] != 0x20 else block + STATIC)

    assert caught.value.code is Code.COMPRESSION_ERROR


@pytest.mark.parametrize("size", [0, 126, 127, 128, 254, 255, 16_000])
def test_a_literal_of_ours_is_read_as_it_was_written(size: int) -> None:
    reader = HeadReader(100, 100_000)

    found = reader.decode(literal(b"x-long", b"v" * size))

    assert [tuple(each) for each in found] == [(b"x-long", b"v" * size)]
