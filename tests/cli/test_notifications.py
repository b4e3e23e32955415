"""Notifications, as an operator asks for them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from gateway.notifications.courier import Courier
from gateway.notifications.post import Reply
from gateway.notifications.targets import Target
from tests.control.fakes import House

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cli.conftest import Terminal


async def refuse(_url: str, _headers: Mapping[str, str], _body: bytes) -> Reply:
    return Reply(410, "gone\x1b[31m")


@pytest.fixture
def house() -> House:
    """One whose only target was told of a change, and refused it."""
    house = House()
    target = Target("ops", "https://hooks.example.com/secret", secrets=(b"k" * 24,))
    house.notifications = courier = Courier(house.store, lambda: ["fraud"], [target], deliver=refuse)

    async def give_up() -> None:
        await house.route({"1": 100})
        await courier.tick()
        await asyncio.gather(*courier._rounds.values())
        await courier.tick()

    asyncio.run(give_up())
    return house


def test_the_list_shows_targets_and_what_was_given_up(terminal: Terminal) -> None:
    result = terminal.run("notifications", "list")

    rows = [line.split() for line in result.out.splitlines()]
    assert result.code == 0
    assert ["ops", "hooks.example.com", "generic", "0", "0.0", "0", "0", "1", "0"] in rows
    assert any(row[:1] == ["fraud"] and row[2:4] == ["ops", "route.changed"] for row in rows)
    assert "\x1b" not in result.out
    assert "secret" not in result.out


def test_what_was_given_up_is_retried_all_or_by_its_key(terminal: Terminal) -> None:
    listed = json.loads(terminal.run("notifications", "list", "--json").out)
    key = listed["given_up"][0]["key"]

    one = terminal.run("notifications", "retry", "fraud", "--key", key, "--json")
    rest = terminal.run("notifications", "retry", "fraud")
    gone = terminal.run("notifications", "retry", "fraud", "--key", key)

    assert (one.code, json.loads(one.out)) == (0, {"model": "fraud", "again": [key]})
    assert (rest.code, rest.out) == (0, "fraud: 0 to be told again\n")
    assert (gone.code, "nothing was given up under this key" in gone.err) == (1, True)
    assert "given up;" not in terminal.run("notifications", "list").out
