"""Versions that cannot be loaded: what is said of them, and when they are tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.errors import InvalidModel
from gateway.models.entry import RETRY_SECONDS
from tests.models.fakes import BAD, GOOD, House, renew, state_of, status_of

if TYPE_CHECKING:
    from gateway.models.catalog import Catalog


def states(catalog: Catalog) -> dict[str, str]:
    return {f"{status.model}/{status.version}": status.state.value for status in catalog.statuses()}


async def test_a_bad_version_fails_with_its_reason_and_leaves_the_others(house: House) -> None:
    house.put("fraud/1", BAD)
    house.put("fraud/2")
    house.put("fraud/3", metadata="serving: {threads: none}")

    catalog = await house.refreshed()

    assert states(catalog) == {"fraud/1": "FAILED", "fraud/2": "READY", "fraud/3": "FAILED"}
    assert status_of(catalog, "fraud", 1).reason == "bad_model: the file is not good"
    assert status_of(catalog, "fraud", 3).reason.startswith("bad_metadata: metadata.yaml: serving.threads")


async def test_another_digest_than_declared_is_a_failure(house: House) -> None:
    house.put("fraud/1", metadata=f"sha256: '{'0' * 64}'")

    catalog = await house.refreshed()

    assert status_of(catalog, "fraud", 1).reason.startswith("digest: ")


async def test_an_error_nobody_foresaw_is_a_failure_and_not_the_end_of_loading(house: House) -> None:
    house.put("fraud/1")
    house.put("fraud/2")
    house.engine.failure = ZeroDivisionError()  # type: ignore[assignment]  # the point of the test

    catalog = await house.refreshed()

    assert states(catalog) == {"fraud/1": "FAILED", "fraud/2": "FAILED"}


async def test_a_failure_is_not_tried_again_by_itself(house: House) -> None:
    house.put("fraud/1", BAD)
    catalog = await house.refreshed()

    house.now += 10_000
    await renew(catalog)

    assert house.engine.loads == ["fraud/1"]


async def test_a_failure_is_tried_again_when_its_file_changes(house: House) -> None:
    house.put("fraud/1", BAD)
    catalog = await house.refreshed()

    house.put("fraud/1", GOOD)
    await renew(catalog)

    assert state_of(catalog, "fraud", 1) == "READY"


async def test_a_failure_is_tried_again_when_its_metadata_changes(house: House) -> None:
    house.put("fraud/1", metadata="serving: {threads: none}")
    catalog = await house.refreshed()

    house.put("fraud/1", metadata="serving: {threads: 1}")
    await renew(catalog)

    assert state_of(catalog, "fraud", 1) == "READY"


async def test_a_failure_is_tried_again_once_for_a_load_order(house: House) -> None:
    house.put("fraud/1", BAD)
    catalog = await house.refreshed()

    for _ in range(3):
        catalog.want({}, {"fraud": {1: "load"}})
        await catalog.settle()

    assert house.engine.loads == ["fraud/1", "fraud/1"]
    assert state_of(catalog, "fraud", 1) == "FAILED"


async def test_a_failure_is_tried_again_for_each_repeated_order(house: House) -> None:
    house.put("fraud/1", BAD)
    catalog = await house.refreshed()

    for _ in range(2):
        catalog.retry("fraud", 1)
        await catalog.settle()

    assert house.engine.loads == ["fraud/1"] * 3


async def test_a_reason_that_may_pass_is_tried_again_ever_more_slowly(house: House) -> None:
    house.put("fraud/1")
    house.engine.failure = InvalidModel("unreadable", "the disk is full")
    catalog = await house.refreshed()

    for number, seconds in enumerate((*RETRY_SECONDS, RETRY_SECONDS[-1]), start=1):
        house.now += seconds - 0.5
        await renew(catalog)
        assert len(house.engine.loads) == number
        house.now += 0.5
        await renew(catalog)
        assert len(house.engine.loads) == number + 1

    house.engine.failure = None
    house.now += RETRY_SECONDS[-1]
    await renew(catalog)
    assert state_of(catalog, "fraud", 1) == "READY"


async def test_an_unload_order_takes_the_failure_away(house: House) -> None:
    house.put("fraud/1", BAD)
    catalog = await house.refreshed()

    catalog.want({}, {"fraud": {1: "unload"}})

    assert status_of(catalog, "fraud", 1).reason == "unloaded by operator"
    assert state_of(catalog, "fraud", 1) == "UNAVAILABLE"
