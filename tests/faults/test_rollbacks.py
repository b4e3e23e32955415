"""A canary that fails is gone from a fleet of two gateways within a second, once, and nobody saw it fail."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import inside, thresholds
from tests.flows.test_bad_canaries import at, crashes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway

pytestmark = pytest.mark.fault

TIMES: Final = 60
CONTROL_TIMES: Final = 1


@pytest.mark.timeout(400)
async def test_a_canary_that_fails_is_taken_back_from_the_whole_fleet_within_a_second(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    took = await crashes(begin, tmp_path / "models", TIMES)  # which fails where a caller saw a failure, or one too many

    with table.promise("R22", f"{TIMES} canaries at 5 % that fail every run, 2 gateways of 2 workers") as found:
        p95 = at(95, (each.from_first for each in took))
        found("p95, from the first failure to the last worker", p95, thresholds.TAKEN_BACK)
        found("from the deciding one, at worst", max(each.from_deciding for each in took), thresholds.TAKEN_BACK)


async def test_control_workers_that_tell_of_failures_late_take_back_late(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    late = partial(begin, command=inside.command("tell-late"))

    took = await crashes(late, tmp_path / "models", CONTROL_TIMES)

    with table.control("R22", "what is counted is told 3 s late") as found:
        found("from the failure that decides to the last worker", took[0].from_deciding, thresholds.TAKEN_BACK)
