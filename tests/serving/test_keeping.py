"""Whose inputs are left for whoever learns: those of answers that a route gave, and that it asks for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.watching import Mark
from gateway.serving.exchange import Traffic
from tests.serving.fakes import Floor, compiled, nothing, pairs
from tests.serving.test_hashed_once import Door
from tests.serving.test_watched import raising, serve

if TYPE_CHECKING:
    from gateway.ports.labels import AskedInputs

ALL = {"inputs": "all", "redact": {}}


class Memory:
    """Implements ``ports.PredictionMemory``; keeps the version that answered and what was asked."""

    room = 1_000

    def __init__(self) -> None:
        self.left: list[tuple[int, AskedInputs | None]] = []
        self.skipped: Counter[tuple[str, int]] = Counter()

    def served(self, *given: Any) -> None:
        self.left.append((given[2], given[-1]))

    def copied(self, *given: Any) -> None:
        raise AssertionError("there is no shadow")


class PinnedDoor(Door):
    """A door whose caller names version 1."""

    def _routed(self, values: Any) -> Any:
        return self._pinned(1)


@pytest.fixture
async def floor() -> Floor:
    return Floor()


def plain(floor: Floor, **members: Any) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.want(Mark("a", 7, "d"), compiled({"1": 1}, **members))


def ask(floor: Floor, many: int = 1, kind: type[Door] = Door) -> list[tuple[int, AskedInputs | None]]:
    traffic = Traffic(floor.table, floor.lanes, floor.metrics, timeout=9, max_body=9)
    traffic.memory = memory = Memory()
    for _ in range(many):
        answers: list[bool] = []
        kind(traffic, "fraud", None, answers.append).ask(nothing)
        floor.lane(1)._flush()
        assert answers == [True]
    return memory.left


async def test_a_route_that_keeps_nothing_is_as_plain_as_it_was(floor: Floor) -> None:
    plain(floor)

    assert floor.table.route("fraud").decide(nothing, 0).is_plain
    assert ask(floor) == [(1, None)]


async def test_what_was_asked_is_left_beside_what_was_served(floor: Floor) -> None:
    plain(floor, feedback=ALL)

    [(version, asked)] = ask(floor)

    assert version == 1
    assert asked is not None
    assert asked.model == "fraud"
    assert asked.signature is floor.lane(1).version.signature
    assert asked.feeds[0].tolist() == pairs(1).tolist()


@pytest.mark.parametrize(("percent", "least", "most"), [(0, 0, 0), (50, 60, 140), (100, 200, 200)])
async def test_as_many_are_left_as_the_percent_says(floor: Floor, percent: int, least: int, most: int) -> None:
    plain(floor, feedback=ALL | {"percent": percent})

    left = ask(floor, 200)

    assert len(left) == 200
    assert least <= sum(asked is not None for _, asked in left) <= most


async def test_a_request_that_names_its_version_is_not_kept(floor: Floor) -> None:
    plain(floor, feedback=ALL)

    assert ask(floor, kind=PinnedDoor) == [(1, None)]


async def test_in_a_rollout_what_a_fallback_answered_is_kept_with_what_was_asked(floor: Floor) -> None:
    serve(floor, canary=raising, feedback=ALL)

    left = ask(floor, 40)

    assert {version for version, _ in left} == {1}
    assert all(asked is not None and asked.feeds[0].tolist() == pairs(1).tolist() for _, asked in left)
