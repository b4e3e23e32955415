"""Golden requests in preflight: when a worker replays them, whose, and what it says of that."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.candidates import Left
from gateway.core.errors import ModelFailed, RunStopped
from gateway.core.phases import Phase
from gateway.ports.workers import GoldenResult
from gateway.serving.rehearsal import Rehearsals
from tests.serving.fakes import LOADING, READY, Floor, doubled, rollout_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.core.rollout import Rollout
    from gateway.ports.engine import Tensor


class Hall:
    """A worker that holds versions 1 and 2, y = 2x, and a rollout of 2 in preflight."""

    def __init__(self, floor: Floor, root: Path) -> None:
        self.floor = floor
        self.root = root
        self.under_way: dict[str, Rollout] = {"fraud": replace(rollout_of(), phase=Phase.PREFLIGHT)}
        self.changes = 0
        for version in (1, 2):
            floor.held.hold("fraud", version)
            (root / "fraud" / str(version)).mkdir(parents=True)
        self.rehearsals = Rehearsals(lambda: self.under_way, floor.catalog, root)
        self.rehearsals.subscribe(self._count)

    def _count(self) -> None:
        self.changes += 1

    def keep(self, version: int, answer: float) -> None:
        """Keep one request for *version*: 1 and 2 go in, and 2 and *answer* were recorded."""
        spec = self.floor.held.sessions["fraud", 2].signature
        named = [(spec.inputs[0].name, [1, 2]), (spec.outputs[0].name, [2, answer])]
        tensors = [{"name": name, "datatype": "FP32", "shape": [1, 2], "data": data} for name, data in named]
        line = json.dumps({"inputs": tensors[:1], "outputs": tensors[1:]})
        (self.root / "fraud" / str(version) / "golden.jsonl").write_text(line)

    def plan(self, **members: Any) -> None:
        self.under_way["fraud"] = replace(rollout_of(**members), phase=Phase.PREFLIGHT)

    async def look(self) -> GoldenResult | None:
        await self.rehearsals.look()
        return self.rehearsals.results.get("fraud", {}).get(2)


@pytest.fixture
async def hall(floor: Floor, tmp_path: Path) -> Hall:
    return Hall(floor, tmp_path)


async def test_a_canary_whose_answers_are_those_that_were_recorded_passes(hall: Hall) -> None:
    hall.keep(2, 4)

    assert await hall.look() == GoldenResult("r1")


async def test_a_canary_whose_answers_differ_fails_with_the_difference(hall: Hall) -> None:
    hall.keep(2, 5)

    found = await hall.look()

    assert found is not None
    assert found.failed.startswith("golden request 1: output")
    assert "5 was recorded, 4 came" in found.failed


async def test_a_canary_without_golden_requests_passes(hall: Hall) -> None:
    assert await hall.look() == GoldenResult("r1")


async def test_the_requests_of_the_baseline_are_asked_of_the_canary_within_the_plans_tolerance(hall: Hall) -> None:
    hall.keep(1, 5)
    hall.plan(golden="baseline")
    strict = await hall.look()
    hall.plan(golden={"of": "baseline", "tolerance": 0.25}, id="r2")

    assert strict is not None
    assert strict.failed.startswith("of version 1: golden request 1: output")
    assert await hall.look() == GoldenResult("r2")


async def test_a_baseline_without_golden_requests_is_waited_for(hall: Hall) -> None:
    hall.plan(golden="baseline")
    early = await hall.look()
    hall.keep(1, 4)

    assert early is not None
    assert early.lacks.startswith("version 1 has no golden requests")
    assert await hall.look() == GoldenResult("r1")


async def test_a_file_that_is_not_the_declared_one_is_waited_for(hall: Hall) -> None:
    hall.keep(2, 4)
    digest = hashlib.sha256(b"another").hexdigest()
    (hall.root / "fraud" / "2" / "metadata.yaml").write_text(f"golden_sha256: {digest}")

    found = await hall.look()

    assert found is not None
    assert "cannot be used" in found.lacks
    assert found.failed == ""


async def test_a_plan_without_golden_requests_has_none_replayed(hall: Hall) -> None:
    hall.keep(2, 5)
    hall.plan(golden="off")

    assert await hall.look() is None


@pytest.mark.parametrize("phase", [Phase.STEP, Phase.BAKE])
async def test_golden_requests_are_for_the_preflight_only(hall: Hall, phase: Phase) -> None:
    hall.keep(2, 5)
    hall.under_way["fraud"] = replace(hall.under_way["fraud"], phase=phase)

    assert await hall.look() is None


async def test_a_canary_that_is_not_ready_is_asked_once_it_is(hall: Hall) -> None:
    hall.floor.held.move("fraud", 2, LOADING)
    early = await hall.look()
    hall.floor.held.move("fraud", 2, READY)

    assert (early, await hall.look()) == (None, GoldenResult("r1"))


async def test_a_canary_is_asked_once_per_rollout_and_told_of_once(hall: Hall) -> None:
    hall.keep(2, 4)
    await hall.look()
    hall.keep(2, 5)
    again = await hall.look()
    hall.plan(id="r2")
    anew = await hall.look()
    hall.under_way.clear()
    forgotten = await hall.look()

    assert again == GoldenResult("r1")
    assert anew is not None
    assert anew.failed
    assert forgotten is None
    assert hall.changes == 3


@pytest.mark.parametrize(("raised", "member"), [(RunStopped("fraud", 2), "lacks"), (None, "failed")])
async def test_a_run_that_was_stopped_is_no_difference_and_one_that_fails_is(
    hall: Hall, raised: Exception | None, member: str
) -> None:
    def failing(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        raise raised or ModelFailed("fraud", 2, "a root of a negative number")

    hall.keep(2, 4)
    hall.floor.held.hold("fraud", 2, failing)

    found = await hall.look()

    assert found is not None
    assert getattr(found, member)


async def test_a_replay_is_beside_the_loop_and_holds_the_canary(hall: Hall) -> None:
    began, may_end = threading.Event(), threading.Event()

    def slow(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        began.set()
        assert may_end.wait(10)
        return doubled(feeds)

    hall.keep(2, 4)
    loaded = hall.floor.held.hold("fraud", 2, slow)
    task = asyncio.create_task(hall.rehearsals.run_forever())
    hall.rehearsals.wake()
    await asyncio.to_thread(began.wait, 10)
    meanwhile = loaded.in_flight
    may_end.set()
    async with asyncio.timeout(10):
        while not hall.rehearsals.results:  # noqa: ASYNC110 - what is waited for happens in the code under test
            await asyncio.sleep(0.001)
    task.cancel()

    assert (meanwhile, loaded.in_flight) == (1, 0)


async def test_each_of_several_candidates_is_asked_for_itself_and_once(hall: Hall) -> None:
    hall.floor.held.hold("fraud", 3)
    (hall.root / "fraud" / "3").mkdir()
    hall.keep(3, 5)
    hall.under_way["fraud"] = replace(rollout_of(2, 3), phase=Phase.PREFLIGHT)

    await hall.look()
    found = dict(hall.rehearsals.results["fraud"])
    hall.keep(2, 5)
    hall.under_way["fraud"] = replace(hall.under_way["fraud"], left={3: Left(True, found[3].failed)})
    await hall.look()

    assert found[2] == GoldenResult("r1")
    assert found[3].failed.startswith("golden request 1: output")
    assert dict(hall.rehearsals.results["fraud"]) == {2: GoldenResult("r1")}
