"""From a route that is wanted to one that is served: what is waited for, what serves meanwhile, who stands in."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core import document
from gateway.core.errors import UnknownModel, VersionUnavailable
from gateway.core.rollout import Kept
from gateway.core.signature import Signature, TensorSpec
from gateway.core.versions import WHOLE_MODEL
from gateway.core.watching import Mark
from tests.serving.fakes import FAILED, LOADING, READY, UNAVAILABLE, UNLOADING, Floor, a_turn, compiled, nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.document import RouteDocument

ONE, TWO, THREE = Mark("a", 1, "d1"), Mark("a", 2, "d2"), Mark("a", 3, "d3")


def served(floor: Floor, model: str = "fraud") -> int | None:
    """Return the revision that is served; None where the model has no route."""
    live = floor.table.routes.get(model)
    return None if live is None else live.revision


def split(floor: Floor, model: str = "fraud") -> Mapping[int, int]:
    return dict(floor.table.route(model).routing.document.split)


def route_file(model: str, **weights: int) -> RouteDocument:
    return document.parse({"model": model, "split": {name.lstrip("v"): weight for name, weight in weights.items()}})


# What is waited for


async def test_a_route_is_served_at_once_when_all_it_names_is_warm(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2)

    floor.adoption.want(ONE, compiled({"1": 1, "2": 1}))

    assert served(floor) == 1


@pytest.mark.parametrize("state", [LOADING, UNLOADING])
async def test_the_old_route_serves_until_everything_the_new_one_names_is_warm(floor: Floor, state: str) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.want(ONE, compiled({"1": 1}))
    floor.held.hold("fraud", 2)
    floor.held.move("fraud", 2, type(READY)(state))

    floor.adoption.want(TWO, compiled({"1": 1, "2": 1}))
    meanwhile = served(floor)
    floor.held.move("fraud", 2, READY)
    await a_turn()

    assert (meanwhile, served(floor)) == (1, 2)


@pytest.mark.parametrize(
    "members",
    [
        {"baseline": "2"},
        {"rules": [{"when": {"header:x-tenant": ["acme"]}, "split": {"2": 1}}]},
        {"split": {"1": 1, "2": 0}},
    ],
    ids=["baseline", "rule", "weight 0"],
)
async def test_every_version_that_a_route_names_is_waited_for(floor: Floor, members: Mapping[str, Any]) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, LOADING)

    floor.adoption.want(ONE, compiled(**{"split": {"1": 1}, **members}))

    assert served(floor) is None


async def test_only_the_last_wanted_route_is_served(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2)
    floor.held.move("fraud", 2, LOADING)
    floor.adoption.want(ONE, compiled({"2": 1}))
    floor.adoption.want(TWO, compiled({"1": 1}))

    floor.held.move("fraud", 2, READY)
    await a_turn()

    assert (served(floor), split(floor)) == (2, {1: 1})


async def test_what_is_wanted_and_what_is_still_served_are_both_kept_in_memory(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.want(ONE, compiled({"1": 1}))
    floor.held.hold("fraud", 2)
    floor.held.move("fraud", 2, LOADING)

    floor.adoption.want(TWO, compiled({"2": 1}))
    meanwhile = floor.held.routed
    floor.held.move("fraud", 2, READY)
    await a_turn()

    assert meanwhile == {"fraud": {1, 2}}
    assert floor.held.routed == {"fraud": {2}}


async def test_listeners_hear_of_each_swap_and_of_nothing_else(floor: Floor) -> None:
    heard: list[int | None] = []
    floor.adoption.subscribe(lambda: heard.append(served(floor)))
    floor.held.hold("fraud", 1)

    floor.adoption.want(ONE, compiled({"1": 1}))
    floor.adoption.settle()
    floor.held.hold("other", 1)
    await a_turn()
    floor.adoption.want(TWO, compiled({"1": 1}))

    assert heard == [1, 2]


async def test_a_request_keeps_the_route_it_began_with(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2)
    floor.adoption.want(ONE, compiled({"1": 1}))
    began_with = floor.table.route("fraud")

    floor.adoption.want(TWO, compiled({"2": 1}))
    arm = began_with.decide(nothing, 0)

    assert (arm.lane.version.version, began_with.revision, served(floor)) == (1, 1, 2)


# What cannot become ready


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


# Routes that no store gave


async def test_a_model_without_a_route_gets_its_highest_version(floor: Floor) -> None:
    for version in (1, 2, 10):
        floor.held.hold("fraud", version)

    floor.adoption.provide({})

    assert (served(floor), split(floor)) == (0, {10: 100})


async def test_no_default_is_made_while_a_version_is_still_loading(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, LOADING)

    floor.adoption.provide({})
    early = served(floor)
    floor.held.hold("fraud", 2)
    floor.adoption.provide({})

    assert early is None
    assert split(floor) == {2: 100}


async def test_a_version_that_failed_is_never_the_default(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, FAILED, "bad_model: no graph")

    floor.adoption.provide({})

    assert split(floor) == {1: 100}


@pytest.mark.parametrize("state", [FAILED, UNAVAILABLE])
async def test_a_model_of_which_nothing_is_ready_gets_no_default(floor: Floor, state: str) -> None:
    floor.held.move("fraud", 1, type(READY)(state))

    floor.adoption.provide({})

    assert not floor.adoption.has_route("fraud")


async def test_a_version_that_appears_later_gets_nothing(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.provide({})

    floor.held.hold("fraud", 2)
    floor.adoption.provide({})
    await a_turn()

    assert split(floor) == {1: 100}


async def test_the_file_of_a_model_beats_its_default_and_needs_no_version_to_have_settled(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, LOADING)

    floor.adoption.provide({"fraud": route_file("fraud", v1=1)})

    assert (served(floor), split(floor)) == (0, {1: 1})


async def test_the_file_of_a_model_that_is_not_in_the_repository_is_left_alone(floor: Floor) -> None:
    floor.adoption.provide({"ghost": route_file("ghost", v1=1)})

    assert not floor.adoption.has_route("ghost")


async def test_neither_file_nor_default_replaces_a_route_of_the_store(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2)
    floor.adoption.want(THREE, compiled({"1": 1}))

    floor.adoption.provide({"fraud": route_file("fraud", v2=1)})

    assert (served(floor), split(floor)) == (3, {1: 1})


async def test_a_route_that_no_store_gave_holds_no_mark_and_so_gives_way_to_any(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.provide({})
    before = floor.adoption.held("fraud")

    floor.adoption.want(ONE, compiled({"1": 1}))

    assert (before, floor.adoption.held("fraud"), served(floor)) == (None, ONE, 1)


# What the outside is told


async def test_a_worker_is_not_ready_while_the_versions_of_a_model_without_a_route_load(floor: Floor) -> None:
    floor.held.move("fraud", 1, LOADING)
    floor.held.move("fraud", 2, FAILED, "bad_model: no graph")

    reasons = floor.adoption.not_ready()

    assert reasons == {"fraud/1": "loading"}


async def test_a_worker_is_not_ready_before_the_repository_could_be_read_once(floor: Floor) -> None:
    floor.catalog.repository_error = "the copy of s3://bucket is not there yet"
    looked = floor.adoption.not_ready()

    floor.catalog.has_looked = False

    assert looked == {}
    assert floor.adoption.not_ready() == {"repository": "the copy of s3://bucket is not there yet"}


async def test_a_worker_is_not_ready_while_nothing_that_a_route_names_is_ready(floor: Floor) -> None:
    floor.held.move("fraud", 1, FAILED, "bad_model: no graph")
    floor.held.hold("fraud", 2)
    floor.adoption.want(ONE, compiled({"1": 1}))

    reasons = floor.adoption.not_ready()

    assert reasons == {"fraud/1": "bad_model: no graph"}


async def test_loading_one_more_version_leaves_a_ready_worker_ready(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.want(ONE, compiled({"1": 1}))
    floor.held.move("fraud", 2, LOADING)

    floor.adoption.want(TWO, compiled({"1": 1, "2": 1}))

    assert floor.adoption.not_ready() == {}


async def test_a_model_whose_every_version_failed_and_that_nobody_routes_does_not_hold_up_the_others(
    floor: Floor,
) -> None:
    floor.held.move("broken", 1, FAILED, "bad_model: no graph")
    floor.held.hold("fraud", 1)

    floor.adoption.provide({})

    assert floor.adoption.not_ready() == {}
    assert served(floor) == 0


# Orders and lanes


async def test_orders_of_operators_reach_the_catalog(floor: Floor) -> None:
    floor.adoption.order("fraud", {2: "load"})

    assert floor.held.orders == {"fraud": {2: "load"}}


async def test_a_lane_lives_as_long_as_its_version(floor: Floor) -> None:
    first = floor.held.hold("fraud", 1)
    lane = floor.lane(1)
    kept = floor.lane(1)

    floor.held.move("fraud", 1, UNLOADING)
    await a_turn()
    second = floor.held.hold("fraud", 1)
    renewed = floor.lane(1)

    assert lane is kept
    assert (lane.version, renewed.version) == (first, second)
    assert renewed is not lane


async def test_a_version_that_is_asked_for_by_number_says_why_it_cannot_answer(floor: Floor) -> None:
    floor.held.move("fraud", 1, FAILED, "bad_model: no graph")

    with pytest.raises(VersionUnavailable) as caught:
        floor.lanes.named("fraud", 1)

    assert (caught.value.state, caught.value.reason) == ("FAILED", "bad_model: no graph")


async def test_asking_for_a_version_that_is_not_there_wakes_it_and_looking_at_it_does_not(floor: Floor) -> None:
    floor.held.move("fraud", 1, UNAVAILABLE, "resting: it made room for fraud/2")

    with pytest.raises(VersionUnavailable):
        floor.lanes.named("fraud", 1)
    assert floor.held.woken == []
    with pytest.raises(VersionUnavailable) as caught:
        floor.lanes.asked("fraud", 1)

    assert floor.held.woken == [("fraud", 1)]
    assert "resting" in str(caught.value)


async def test_asking_for_a_version_is_noted_and_looking_at_it_is_not(floor: Floor) -> None:
    loaded = floor.held.hold("fraud", 1)

    floor.lanes.named("fraud", 1)
    assert loaded.last_asked == 0
    floor.lanes.asked("fraud", 1)

    assert loaded.last_asked > 0
    assert floor.held.woken == []


# What operators order


async def test_a_model_that_is_taken_out_of_service_has_no_route_until_it_is_back(floor: Floor) -> None:
    heard: list[str] = []
    floor.held.hold("fraud", 1)
    floor.held.hold("other", 1)
    floor.adoption.want(ONE, compiled({"1": 1}))
    floor.adoption.want(ONE, compiled({"1": 1}, model="other"))
    floor.adoption.subscribe(lambda: heard.append("changed"))

    floor.adoption.order("fraud", {WHOLE_MODEL: "unload"})
    floor.adoption.settle()

    assert (served(floor), served(floor, "other"), heard) == (None, 1, ["changed"])
    assert floor.adoption.not_ready() == {}
    floor.adoption.order("fraud", {WHOLE_MODEL: "load"})
    floor.adoption.settle()
    assert served(floor) == 1


async def test_a_model_may_be_out_of_service_before_it_has_a_route(floor: Floor) -> None:
    floor.held.hold("fraud", 1)

    floor.adoption.order("fraud", {WHOLE_MODEL: "unload"})
    floor.adoption.want(ONE, compiled({"1": 1}))

    assert served(floor) is None
    assert floor.adoption.not_ready() == {}


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


async def test_a_version_at_weight_0_may_be_unloaded_and_is_protected_again_once_it_has_weight(floor: Floor) -> None:
    for version in (1, 2, 3):
        floor.held.hold("fraud", version)
    rules = [{"when": {"header:x": "y"}, "split": {"3": 0, "1": 1}}]
    floor.adoption.want(ONE, compiled({"1": 0, "2": 0, "3": 1}, baseline="1", rules=rules))

    floor.adoption.order("fraud", dict.fromkeys((1, 2, 3), "unload"))

    assert floor.held.routed["fraud"] == {1, 3}
    floor.adoption.want(TWO, compiled({"1": 0, "2": 1, "3": 1}, baseline="1"))
    assert floor.held.routed["fraud"] == {1, 2, 3}


# What a rollout replaced


def replaced(floor: Floor, split: Mapping[str, int]) -> None:
    """Serve *split* after a success of version 2 at 1,000 s, whose plan keeps version 1 for an hour."""
    for version in (1, 2):
        floor.held.hold("fraud", version)
    floor.adoption.want(ONE, compiled(split, baseline="2"), None, Kept(1, 4_600.0))


@pytest.mark.parametrize("split", [{"1": 0, "2": 100}, {"2": 100}], ids=["at weight 0", "no longer named"])
async def test_the_version_that_a_rollout_replaced_stays_for_its_time_and_goes_then(
    floor: Floor, split: Mapping[str, int]
) -> None:
    replaced(floor, split)
    early = floor.held.routed["fraud"]

    floor.now = 4_599.0
    floor.adoption.look_at_clock()
    still = floor.held.routed["fraud"]
    floor.now = 4_600.0
    floor.adoption.look_at_clock()

    assert (early, still) == ({1, 2}, {1, 2})
    assert floor.held.routed["fraud"] == {2}


async def test_a_worker_that_starts_later_keeps_it_no_longer(floor: Floor) -> None:
    floor.now = 5_000.0

    replaced(floor, {"1": 0, "2": 100})

    assert floor.held.routed["fraud"] == {2}


async def test_an_order_to_unload_ends_the_time_early(floor: Floor) -> None:
    replaced(floor, {"2": 100})

    floor.adoption.order("fraud", {1: "unload"})

    assert floor.held.routed["fraud"] == {2}


async def test_a_replaced_version_that_has_traffic_again_never_goes(floor: Floor) -> None:
    replaced(floor, {"1": 50, "2": 50})

    floor.now = 9_999.0
    floor.adoption.look_at_clock()

    assert floor.held.routed["fraud"] == {1, 2}


# What callers of the baseline would notice

NAMED_OTHERWISE = Signature((TensorSpec("features", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 2)),))


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
