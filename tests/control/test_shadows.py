"""Who may be a shadow: what is new is checked, what was there before is in nobody's way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core.document import parse
from gateway.core.errors import InvalidDocument, VersionInUse
from tests.control.fakes import FAILED, FIVE_FLOATS, READY, House

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERYBODY = {"1": 1}
BY_USER = {"by": "header:x-user-id"}


def nothing(kind: str, name: str) -> Sequence[bytes]:
    return ()


async def test_a_new_shadow_must_be_in_the_repository(house: House) -> None:
    with pytest.raises(InvalidDocument, match="versions list") as refused:
        await house.route(EVERYBODY, shadow={"9": 20})

    assert refused.value.field == "shadow.9"


async def test_a_new_shadow_must_take_the_baselines_inputs(house: House) -> None:
    house.workers.say("fraud", 3, READY, signature=FIVE_FLOATS)

    with pytest.raises(InvalidDocument, match=r"input X was \[n, 4\] and is \[n, 5\]") as refused:
        await house.route(EVERYBODY, shadow={"3": 20})

    assert refused.value.field == "shadow.3"


async def test_a_seed_is_held_to_the_same(house: House) -> None:
    route = parse({"model": "fraud", "split": EVERYBODY, "shadow": {"9": 20}})

    with pytest.raises(InvalidDocument):
        await house.operations.seed("fraud", route, who="gateway", reason="first seen")


async def test_a_version_that_gets_no_percent_is_no_shadow(house: House) -> None:
    assert await house.route(EVERYBODY, shadow={"9": 0}) == 1


async def test_a_shadow_that_failed_is_let_be_because_it_answers_nobody(house: House) -> None:
    house.workers.say("fraud", 3, FAILED, "sha256 differs")

    assert await house.route(EVERYBODY, shadow={"3": 20}) == 1


async def test_weights_can_be_changed_although_the_shadow_is_gone(house: House) -> None:
    await house.route({"1": 95, "2": 5}, shadow={"3": 20})
    house.on_disk["fraud"].discard(3)
    house.workers.say("fraud", 3, FAILED, "the file is gone")

    _, revision = await house.operations.set_weights("fraud", EVERYBODY, expected=None, who="ann", reason="away from 2")

    assert revision == 2


async def test_a_version_that_requests_are_copied_to_stays(house: House) -> None:
    await house.route(EVERYBODY, shadow={"3": 20, "2": 0})

    with pytest.raises(VersionInUse, match="copies requests"):
        await house.operations.unload("fraud", 3, who="ann", reason="")
    await house.operations.unload("fraud", 2, who="ann", reason="")


async def test_an_explanation_says_who_gets_copies(house: House) -> None:
    await house.route(EVERYBODY, shadow={"3": 20})
    drawn = await house.operations.explain("fraud", b"", nothing)
    await house.route(EVERYBODY, shadow={"2": 10, "3": 30}, assign=BY_USER)
    kept = await house.operations.explain("fraud", b"user-1", nothing)

    assert drawn["copied"] == {"3": 20.0}
    assert kept["copied"] == {"2": 0.0, "3": 100.0}
