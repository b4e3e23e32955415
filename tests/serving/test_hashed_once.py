"""On a sticky route in a rollout a key is hashed once, for its slot, its place in the sample, failures and labels."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core import routing as routing_module
from gateway.core.slots import hash_point
from gateway.serving.exchange import Exchange, Traffic
from tests.serving.fakes import FAR, Floor, nothing, pairs
from tests.serving.test_watched import counted, raising, serve, values_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.errors import GatewayError
    from gateway.core.routing import Values
    from gateway.ports.engine import Tensor
    from gateway.serving.live import Arm

STICKY = {"by": "header:x-user"}


class Door(Exchange[bool]):
    """A door without bytes: its requests are one row."""

    def ask(self, values: Values) -> Arm:
        self._deadline = FAR
        arm = self._routed(values)
        self._start(arm, (pairs(1),), 1, None)
        arm.lane._flush()
        return arm

    def _answer(self, arm: Arm, outputs: Sequence[Tensor]) -> bool:
        return True

    def _refusal(self, error: GatewayError | None) -> tuple[int, bool]:
        return 2, False

    def _heard(self, name: str) -> Sequence[bytes]:
        return ()


class Memory:
    """Implements ``ports.PredictionMemory``; remembers the points and the rules."""

    room = 9

    def __init__(self) -> None:
        self.points: list[int | None] = []
        self.rules: list[str] = []
        self.skipped: Counter[tuple[str, int]] = Counter()

    def served(self, *given: Any) -> None:
        self.points.append(given[8])
        self.rules.append(given[5])

    def copied(self, *given: Any) -> None:
        raise AssertionError("there is no shadow")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the points that were computed."""
    points: list[int] = []

    def counting(data: bytes) -> int:
        points.append(hash_point(data))
        return points[-1]

    monkeypatch.setattr(routing_module, "hash_point", counting)
    return points


async def ask(floor: Floor, values: Values) -> tuple[Memory, list[bool]]:
    inference = Traffic(floor.table, floor.lanes, floor.metrics, timeout=9, max_body=9)
    inference.memory = memory = Memory()
    answers: list[bool] = []
    door = Door(inference, "fraud", None, answers.append)
    door.ask(values)
    floor.lane(1)._flush()
    return memory, answers


@pytest.mark.parametrize("key", [str(number) for number in range(6)])
async def test_a_key_is_hashed_once_whatever_becomes_of_its_request(floor: Floor, hashed: list[int], key: str) -> None:
    serve(floor, canary=raising, assign=STICKY)

    memory, answers = await ask(floor, values_of(**{"x-user": key}))

    assert answers == [True]
    assert len(hashed) == 1
    assert memory.points in ([], [None], hashed), "what was answered by a fallback is remembered without its key"


async def test_an_answer_in_place_of_a_version_that_failed_is_remembered_as_no_answer_of_the_split(
    floor: Floor,
) -> None:
    serve(floor, canary=raising, assign=STICKY)

    memories = [(await ask(floor, values_of(**{"x-user": str(number)})))[0] for number in range(60)]

    remembered = {(rule, memory.points[0] is None) for memory in memories for rule in memory.rules}
    assert remembered == {("split", False), ("fallback", True)}


async def test_a_request_without_a_key_hashes_nothing_and_is_a_unit_of_its_own(floor: Floor, hashed: list[int]) -> None:
    trial = serve(floor, assign=STICKY)

    memory, answers = await ask(floor, nothing)

    assert (answers, hashed) == ([True], [])
    assert memory.points[0] is not None
    assert sum(counted(trial).values()) == 1


async def test_without_a_rollout_the_key_is_hashed_once_too(floor: Floor, hashed: list[int]) -> None:
    serve(floor, assign=STICKY)
    routing = floor.table.route("fraud").routing
    hashed.clear()

    routing.decide(values_of(**{"x-user": "a"}), 0)

    assert len(hashed) == 1
