"""Users stay where they are on every worker of every replica, and each worker's split is right by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import inside, thresholds
from tests.faults.store_server import needs_redis, network, store
from tests.faults.test_following import a_line_to_each_worker, directly
from tests.flows import metrics
from tests.flows.gateway_process import COMMAND, eventually
from tests.flows.models import MODEL, request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.store_server import StoreServer
    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway
    from tests.flows.load import Connection

__all__ = ["network", "store"]
pytestmark = [pytest.mark.fault, needs_redis]

PATH: Final = f"/v2/models/{MODEL}/infer"
BODY: Final = json.dumps(request([1, 2])).encode()
BY_USER: Final = 'split: {"1": 99, "2": 1}\nassign: {by: "header:x-user-id", salt: contract}\nbaseline: "1"'
AT_RANDOM: Final = 'split: {"1": 99, "2": 1}\nassign: {by: random}\nbaseline: "1"'
USERS: Final = 2_000
CONTROL_USERS: Final = 200
STEPS: Final = (5, 25, 50)
SEEDS: Final = ("1", "2")
DRAWS: Final = 33_400
"""By each worker, 200,000 in all: where 1 % were 2 %, χ² would leave that no chance worth naming."""
SPLITS: Final = ({"1": 99, "2": 1}, {"1": 50, "2": 50}, {"1": 100, "2": 0})
PATIENCE_SECONDS: Final = 10.0


# ---- users


async def versions_of(line: Connection, users: int) -> list[str]:
    """Return which version each user gets on one worker; the header and the model must agree."""
    versions = []
    for user in range(users):
        status, headers, body = await line.post(PATH, BODY, {"x-user-id": f"user-{user}"})
        said = next(each["data"][0] for each in json.loads(body)["outputs"] if each["name"] == "version")
        assert (status, headers["x-gateway-version"]) == (200, str(said))
        versions.append(str(said))
    return versions


async def on_all_workers(replicas: Sequence[Gateway], users: int) -> list[list[str]]:
    """Return what ``versions_of`` says, for every worker of the replicas."""
    async with contextlib.AsyncExitStack() as stack:
        lines = [
            line for replica in replicas for line in await stack.enter_async_context(a_line_to_each_worker(replica))
        ]
        return list(await asyncio.gather(*(versions_of(line, users) for line in lines)))


def two_replicas(
    begin: Callable[..., Gateway], store: StoreServer, command: Sequence[str] = COMMAND
) -> Sequence[Gateway]:
    """Start two replicas whose interpreters hash texts differently."""
    return [
        begin(
            f"replica-{seed}",
            route=BY_USER,
            flags=("--redis-url", directly(store)),
            command=command,
            environment={"PYTHONHASHSEED": seed},
        )
        for seed in SEEDS
    ]


def disagreements(everywhere: Sequence[Sequence[str]]) -> int:
    """Return how many users do not get the same version of all workers."""
    return sum(len(set(versions)) > 1 for versions in zip(*everywhere, strict=True))


async def test_a_user_gets_one_version_of_all_workers_and_never_leaves_a_canary_that_grows(
    begin: Callable[..., Gateway], store: StoreServer, table: Table
) -> None:
    replicas = two_replicas(begin, store)
    steps, before = 0, await on_all_workers(replicas, USERS)

    with table.promise("R6", f"{USERS} users on 4 workers of 2 replicas, a canary that grows") as found:
        found("users on whom workers disagree", disagreements(before), thresholds.NONE)
        for revision, weight in enumerate(STEPS, start=2):
            assert replicas[0].set_weights(MODEL, {"1": 100 - weight, "2": weight}).status == 200
            follows = lambda revision=revision: all(metrics.adopted(each) == revision for each in replicas)  # noqa: E731
            await asyncio.to_thread(eventually, follows, PATIENCE_SECONDS, "all workers follow")
            after = await on_all_workers(replicas, USERS)
            moves = Counter(zip(before[0], after[0], strict=True))
            due = weight - (STEPS[steps - 1] if steps else 1)
            bound = 100 * 4 * math.sqrt(due / 100 * (1 - due / 100) / USERS)  # the users are a sample
            off = abs(100 * moves["1", "2"] / USERS - due)
            found(f"to {weight} %: users on whom workers disagree", disagreements(after), thresholds.NONE)
            found(f"to {weight} %: users who leave the canary", moves["2", "1"], thresholds.NONE)
            found(f"to {weight} %: users moved, off by", max(0.0, off - bound), thresholds.POINT)
            steps, before = steps + 1, after


async def test_control_users_who_are_seated_by_pythons_own_hash_get_two_versions(
    begin: Callable[..., Gateway], store: StoreServer, table: Table
) -> None:
    replicas = two_replicas(begin, store, inside.command("python-hash"))
    assert replicas[0].set_weights(MODEL, {"1": 50, "2": 50}).status == 200
    follows = lambda: all(metrics.adopted(each) == 2 for each in replicas)  # noqa: E731 - asked once
    await asyncio.to_thread(eventually, follows, PATIENCE_SECONDS, "all workers follow")

    everywhere = await on_all_workers(replicas, CONTROL_USERS)

    with table.control("R6", "users are seated by hash()") as found:
        found("users on whom workers disagree", disagreements(everywhere), thresholds.NONE)


# ---- splits


async def draw(line: Connection, count: int) -> Counter[str]:
    """Return how many requests each version got of one worker."""
    versions: Counter[str] = Counter()
    for _ in range(count):
        status, headers, _ = await line.post(PATH, BODY, {})
        assert status == 200
        versions[headers["x-gateway-version"]] += 1
    return versions


def chance(drawn: Counter[str], share: float) -> float:
    """Return how likely a count of version 2 as far off its *share*, strictly between 0 and 1, is: χ², Yates' form."""
    total = drawn.total()
    off = max(0.0, abs(drawn["2"] - total * share) - 0.5)
    return math.erfc(off / math.sqrt(2 * total * share * (1 - share)))


async def drawn_by_each(gateway: Gateway, count: int) -> list[Counter[str]]:
    async with a_line_to_each_worker(gateway) as lines:
        return list(await asyncio.gather(*(draw(line, count) for line in lines)))


@pytest.mark.timeout(400)
async def test_each_workers_split_is_what_the_weights_say(begin: Callable[..., Gateway], table: Table) -> None:
    gateway = begin(route=AT_RANDOM)

    with table.promise("R7", f"{DRAWS} requests of each worker") as found:
        for revision, split in enumerate(SPLITS, start=1):
            if revision > 1:
                assert gateway.set_weights(MODEL, split).status == 200
                follows = lambda revision=revision: metrics.adopted(gateway) == revision  # noqa: E731
                await asyncio.to_thread(eventually, follows, PATIENCE_SECONDS, "both workers follow")
            drawn = await drawn_by_each(gateway, DRAWS)
            if share := split["2"] / 100:
                found(f"{split['1']}/{split['2']}: the less likely worker", min(chance(each, share) for each in drawn),
                      thresholds.CHANCE)  # fmt: skip
            else:
                found("requests at weight 0", sum(each["2"] for each in drawn), thresholds.NONE)


async def test_control_a_split_that_is_off_by_a_point_is_found_on_each_worker(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=AT_RANDOM, command=inside.command("off-by-a-point"))

    drawn = await drawn_by_each(gateway, DRAWS)

    with table.control("R7", "version 2 has 2 % in place of 1 %") as found:
        found("99/1: the more likely worker", max(chance(each, 0.01) for each in drawn), thresholds.CHANCE)
