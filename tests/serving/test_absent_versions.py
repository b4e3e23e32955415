"""Versions that a route names and that are not ready here, or fit no caller: who stands in, and who is told."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from gateway.core.errors import UnknownModel, VersionUnavailable
from gateway.core.signature import Signature, TensorSpec
from tests.serving.fakes import FAILED, LOADING, READY, UNAVAILABLE, Floor, a_turn, compiled, nothing
from tests.serving.served import ONE, TWO, served

NAMED_OTHERWISE = Signature((TensorSpec("features", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 2)),))


async def test_the_share_of_a_failed_version_goes_to_the_baseline(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, LOADING)
    floor.adoption.want(ONE, compiled({"1": 60, "2": 40}, baseline="1"))

    floor.held.move("fraud", 2, FAILED, "bad_model: no graph")
    await a_turn()
    live, draws = floor.table.route("fraud"), Random(1)
    arms = [live.decide(nothing, draws.getrandbits(64)) for _ in range(2000)]

    assert {arm.lane.version.version for arm in arms} == {1}
    stand_ins = Counter(arm.absent is not None for arm in arms)
    assert 700 < stand_ins[True] < 900


async def test_a_version_that_recovers_gets_its_share_back(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2)
    floor.held.move("fraud", 2, FAILED, "no_memory: there is not enough")
    floor.adoption.want(ONE, compiled({"1": 0, "2": 1}, baseline="1"))
    before = floor.table.route("fraud").decide(nothing, 0)

    floor.held.move("fraud", 2, READY)
    await a_turn()
    after = floor.table.route("fraud").decide(nothing, 0)

    assert (before.lane.version.version, after.lane.version.version) == (1, 2)
    assert (before.absent is not None, after.absent) == (True, None)


async def test_a_version_that_is_nowhere_to_be_found_does_not_hold_up_the_route(floor: Floor) -> None:
    floor.held.hold("fraud", 1)

    floor.adoption.want(ONE, compiled({"1": 1, "9": 1}, baseline="1"))

    assert served(floor) == 1


async def test_a_route_of_which_nothing_is_ready_never_replaces_one_that_serves(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, FAILED, "bad_model: no graph")
    floor.adoption.want(ONE, compiled({"1": 1}))

    floor.adoption.want(TWO, compiled({"2": 1}))

    assert served(floor) == 1


async def test_without_a_ready_baseline_a_version_that_is_not_ready_is_an_error(floor: Floor) -> None:
    floor.held.hold("fraud", 2)
    floor.held.move("fraud", 1, FAILED, "bad_model: no graph")
    floor.adoption.want(ONE, compiled({"1": 1, "2": 0}, baseline="1"))

    with pytest.raises(VersionUnavailable):
        floor.table.route("fraud").decide(nothing, 0)


async def test_a_model_without_a_route_is_unknown_to_the_table(floor: Floor) -> None:
    with pytest.raises(UnknownModel):
        floor.table.route("fraud")


# What the log says


async def test_a_version_at_weight_0_that_was_unloaded_on_purpose_is_no_error(
    floor: Floor, caplog: pytest.LogCaptureFixture
) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, UNAVAILABLE, "unloaded by operator")
    floor.adoption.order("fraud", {2: "unload"})

    floor.adoption.want(ONE, compiled({"1": 1, "2": 0}))

    assert served(floor) == 1
    assert caplog.messages == []


async def test_a_version_that_appears_at_weight_0_is_told_of_once_and_is_no_error(
    floor: Floor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway.serving.adoption")
    floor.held.hold("fraud", 1)

    floor.adoption.want(ONE, compiled({"1": 1, "2": 0}))
    floor.adoption.want(TWO, compiled({"1": 2, "2": 0}))

    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("INFO", "route fraud revision 1 names versions at weight 0 that are not ready here yet: [2]")
    ]


async def test_a_version_at_weight_0_that_leaves_again_is_told_of_again(
    floor: Floor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway.serving.adoption")
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2)
    floor.adoption.want(ONE, compiled({"1": 1, "2": 0}))
    assert caplog.messages == []

    floor.held.move("fraud", 2, FAILED, "bad_model: no graph")
    await a_turn()

    assert [each.levelname for each in caplog.records] == ["INFO"]


@pytest.mark.parametrize(
    "members",
    [{"split": {"1": 9, "2": 1}}, {"split": {"1": 1}, "rules": [{"when": {"header:a": "b"}, "split": {"2": 1}}]}],
    ids=["in the split", "in a rule"],
)
async def test_a_version_with_traffic_that_is_not_ready_is_an_error(
    floor: Floor, caplog: pytest.LogCaptureFixture, members: dict[str, Any]
) -> None:
    floor.held.hold("fraud", 1)

    floor.adoption.want(ONE, compiled(baseline="1", **members))

    assert [each.levelname for each in caplog.records] == ["ERROR"]
    assert "[2]; the baseline answers for them" in caplog.text


# What callers of the baseline would notice


async def test_a_version_that_turns_out_to_have_another_interface_is_answered_by_the_baseline(
    floor: Floor, caplog: pytest.LogCaptureFixture
) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2, signature=NAMED_OTHERWISE)
    floor.held.hold("fraud", 3)

    floor.adoption.want(ONE, compiled({"1": 1, "2": 1, "3": 1}))
    floor.adoption.settle()

    assert floor.table.route("fraud").lanes.keys() == {1, 3}
    assert floor.lane(2).version.version == 2, "who names it is answered by it"
    (told,) = caplog.messages
    assert told.startswith(
        "route fraud revision 1: version 2 cannot share a route with the baseline, version 1: the input"
    )
    assert told.endswith("; the baseline answers for it")


async def test_another_interface_that_gets_no_requests_or_all_of_them_is_no_misfit(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2, signature=NAMED_OTHERWISE)

    floor.adoption.want(ONE, compiled({"1": 1, "2": 0}))
    aside = floor.table.route("fraud").lanes.keys()
    floor.adoption.want(TWO, compiled({"2": 1}, baseline="2"))

    assert aside == {1, 2}
    assert floor.table.route("fraud").lanes.keys() == {2}
