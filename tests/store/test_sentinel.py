"""Connections to the primary that Sentinels name, and what becomes of those to the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio import BlockingConnectionPool

from gateway.store.address import Address
from gateway.store.sentinel import PrimaryConnection, PrimaryFinder
from tests.store.servers import Server

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path


class Named(PrimaryFinder):
    """A finder whose Sentinels name *port*."""

    def __init__(self, port: int) -> None:
        super().__init__("main", (), seconds=1)
        self.port = port

    async def _newest(self, asked: set[asyncio.Task[tuple[int, str, int] | None]]) -> tuple[int, str, int]:
        return 1, "127.0.0.1", self.port


async def test_no_call_goes_to_the_old_primary_once_one_connection_has_found_the_new_one(tmp_path: Path) -> None:
    old, new = Server(tmp_path).wait(), Server(tmp_path).wait()
    finder = Named(old.port)
    pool = BlockingConnectionPool(connection_class=PrimaryConnection, finder=finder)
    try:
        resting = [await pool.get_connection() for _ in range(3)]  # type: ignore[no-untyped-call]  # the client has no types here
        for connection in resting:
            await pool.release(connection)
        before = {connection.port for connection in resting}

        finder.port = new.port
        await finder.find()
        after = {(await pool.get_connection()).port for _ in resting}  # type: ignore[no-untyped-call]  # the client has no types here

        assert (before, after) == ({old.port}, {new.port})
    finally:
        await pool.disconnect()
        old.stop()
        new.stop()


def test_all_connections_of_an_address_share_what_one_of_them_found() -> None:
    address = Address.parse("redis+sentinel://a,b/main", 0.4)

    one, other = address.options(retries=1)["finder"], address.options(retries=0)["finder"]

    assert one is other is address.finder
