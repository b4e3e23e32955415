"""Bringing an earlier route back, and a wiped store."""

from __future__ import annotations

import pytest

from gateway.core import stored
from gateway.core.errors import NothingToRestore
from tests.control.fakes import House


async def test_a_revision_comes_back_as_a_new_one(house: House) -> None:
    await house.route({"1": 1})
    await house.route({"2": 1})

    route, revision = await house.operations.restore("fraud", 1, expected=None, who="ann", reason="")

    assert (dict(route.split), revision) == ({1: 1}, 3)
    assert (await house.history())[0].reason == "restore of revision 1"


async def test_a_revision_that_never_was_cannot_be_restored(house: House) -> None:
    await house.route({"1": 1})

    with pytest.raises(NothingToRestore, match="revision 12"):
        await house.operations.restore("fraud", 12, expected=None, who="ann", reason="")


async def test_after_a_wipe_the_snapshot_comes_back_under_a_new_incarnation(house: House) -> None:
    house.snapshot.keep("fraud", {"1": 95, "2": 5})

    route, revision = await house.operations.restore("fraud", None, expected=None, who="ann", reason="")

    held = await house.store.read("fraud")
    assert held is not None
    assert (dict(route.split), revision) == ({1: 95, 2: 5}, 1)
    assert held.incarnation != house.snapshot.routes["fraud"].incarnation
    assert held.digest == house.snapshot.routes["fraud"].digest  # the same seats: nobody changes version


async def test_the_snapshot_never_replaces_what_the_store_holds(house: House) -> None:
    await house.route({"1": 1})
    house.snapshot.keep("fraud", {"2": 1})

    with pytest.raises(NothingToRestore, match="revision 1"):
        await house.operations.restore("fraud", None, expected=None, who="ann", reason="")


async def test_without_a_snapshot_there_is_nothing_to_restore(house: House) -> None:
    with pytest.raises(NothingToRestore, match="no snapshot"):
        await house.operations.restore("fraud", None, expected=None, who="ann", reason="")


async def test_a_write_after_a_wipe_keeps_users_where_the_snapshot_has_them(house: House) -> None:
    await house.route({"1": 95, "2": 5}, assign={"by": "header:x-user-id"})
    await house.operations.set_weights("fraud", {"1": 90, "2": 10}, expected=None, who="ann", reason="")
    held = await house.store.read("fraud")
    assert held is not None
    wiped = House()
    wiped.snapshot.routes["fraud"] = held
    document = stored.decode("fraud", held.payload, held.digest).document

    await wiped.operations.put_route("fraud", document.as_dict(), expected=0, who="ann", reason="")

    again = await wiped.store.read("fraud")
    assert again is not None
    assert again.digest == held.digest
