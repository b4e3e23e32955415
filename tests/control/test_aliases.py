"""Aliases through the one door for changes: what they need, what they keep, and what they must not stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import InvalidDocument, VersionInUse
from tests.control.fakes import FAILED, UNAVAILABLE, House

if TYPE_CHECKING:
    from gateway.core.versions import VersionState


async def test_an_alias_needs_a_version_that_is_in_the_repository(house: House) -> None:
    with pytest.raises(InvalidDocument, match="versions list fraud") as refused:
        await house.route({"1": 1}, aliases={"champion": "9"})

    assert refused.value.field == "aliases.champion"


async def test_a_version_whose_file_is_gone_can_be_aliased_while_it_is_ready(house: House) -> None:
    house.on_disk["fraud"].discard(3)

    await house.route({"1": 1}, aliases={"champion": "3"})

    assert dict((await house.operations.read_route("fraud"))[0].aliases) == {"champion": 3}


@pytest.mark.parametrize("state", [FAILED, UNAVAILABLE])
async def test_an_alias_may_point_to_a_version_that_is_not_ready(house: House, state: VersionState) -> None:
    house.workers.say("fraud", 3, state)

    assert await house.route({"1": 1}, aliases={"champion": "3"}) == 1


async def test_weights_move_although_the_version_of_an_old_alias_has_vanished(house: House) -> None:
    await house.route({"1": 1}, aliases={"champion": "3"})
    house.on_disk["fraud"].discard(3)
    for worker in house.workers.states:
        worker.pop(("fraud", 3))

    await house.operations.set_weights("fraud", {"2": 1}, expected=None, who="ann", reason="")
    route, _ = await house.operations.read_route("fraud")

    assert (dict(route.split), dict(route.aliases)) == ({2: 1}, {"champion": 3})
    with pytest.raises(InvalidDocument, match=r"aliases\.another"):
        await house.route({"2": 1}, aliases={"champion": "3", "another": "3"})


async def test_a_version_that_an_alias_names_stays(house: House) -> None:
    await house.route({"1": 1}, aliases={"champion": "3"})

    with pytest.raises(VersionInUse, match="alias champion"):
        await house.operations.unload("fraud", 3, who="ann", reason="")


async def test_an_alias_alone_is_a_change_with_its_audit_entry_and_can_be_taken_back(house: House) -> None:
    await house.route({"1": 1}, aliases={"champion": "2"})
    await house.route({"1": 1}, aliases={"champion": "3"})

    await house.operations.restore("fraud", 1, expected=None, who="ann", reason="")
    newest = (await house.history())[0]

    assert newest.before is not None
    assert newest.after is not None
    assert [newest.before["aliases"], newest.after["aliases"]] == [{"champion": "3"}, {"champion": "2"}]
