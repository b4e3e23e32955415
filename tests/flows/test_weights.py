"""Weights that move under load: no request fails, and everybody who counts counts the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tests.flows import metrics
from tests.flows.load import Load
from tests.flows.reconcile import assert_counts_agree, assert_legal, assert_shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Answer, Gateway

ROUTE: Final = 'split: {"1": 95, "2": 5}\nassign: {by: random}\nbaseline: "1"'

MOVES: Final[tuple[dict[str, int], ...]] = (
    {"1": 99, "2": 1}, {"1": 90, "2": 10}, {"1": 1, "2": 1}, {"1": 0, "2": 100}, {"1": 1, "2": 0},
    {"1": 1, "2": 1, "3": 1}, {"1": 0, "2": 2, "3": 3}, {"3": 7}, {"1": 75, "2": 0, "3": 25}, {"1": 95, "2": 5},
)  # fmt: skip

FOLLOWED_SECONDS: Final = 2.0
"""So soon every worker follows a change, also when its publication is lost."""


async def move(gateway: Gateway, weights: dict[str, int], revision: int) -> int:
    """Replace the split at *revision* and return the revision that this made."""
    answer: Answer = await asyncio.to_thread(gateway.set_weights, "echo", weights, f'"{revision}"')
    assert answer.status == 200, answer.body
    return int(answer.headers["etag"].strip('"'))


async def test_weights_that_move_ten_times_under_load_fail_no_request_and_every_count_agrees(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin(versions=(1, 2, 3), route=ROUTE)
    splits: dict[int, dict[str, int]] = {1: {"1": 95, "2": 5}}
    made_at: dict[int, float] = {}

    async with Load(gateway.port, rate=250, keep_alive=False) as load:
        await load.answered(250)
        for number, weights in enumerate(MOVES, start=1):
            assert await move(gateway, weights, number) == number + 1
            splits[number + 1] = weights
            made_at[number + 1] = asyncio.get_running_loop().time()
            await load.answered(250)

    assert load.faults == []
    assert len(load.outcomes) >= 2_750
    assert_legal(load.outcomes, splits)
    assert_shares(load.outcomes, splits)
    assert {outcome.revision for outcome in load.outcomes} == splits.keys()
    for revision, at in made_at.items():
        stale = [o for o in load.outcomes if o.due > at + FOLLOWED_SECONDS and o.revision < revision]
        assert not stale, f"revision {revision}: {stale[:3]}"
    assert len({outcome.worker for outcome in load.outcomes}) == 2
    assert_counts_agree(gateway, [load], before={})
    assert set(metrics.all_requests(gateway)) == {("1", "ok"), ("2", "ok"), ("3", "ok")}


async def test_a_writer_that_did_not_read_the_last_revision_changes_nothing(begin: Callable[..., Gateway]) -> None:
    gateway = begin(versions=(1, 2), route=ROUTE)
    assert await move(gateway, {"1": 1, "2": 1}, 1) == 2

    stale = gateway.set_weights("echo", {"2": 1}, '"1"')
    without = gateway.ask_admin("PATCH", "/api/v1/models/echo/route/weights", {"weights": {"2": 1}})
    route = gateway.ask_admin("GET", "/api/v1/models/echo/route")

    assert (stale.status, without.status) == (412, 428)
    assert route.headers["etag"] == '"2"'
    assert route.json()["split"] == {"1": 1, "2": 1}


async def test_the_generator_reports_what_a_gateway_that_is_killed_loses(begin: Callable[..., Gateway]) -> None:
    """The negative control of every test here that says "no request failed"."""
    gateway = begin(route=ROUTE)

    async with Load(gateway.port) as load:
        await load.answered(20)
        await asyncio.to_thread(gateway.kill)
        await load.answered(20)

    assert len(load.faults) >= 10
