"""Two controllers that both believe to lead, and look before either writes: each step is taken once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from gateway.control.rollout_writes import WHO
from tests.faults import inside, thresholds
from tests.flows.gateway_process import eventually
from tests.flows.models import publish
from tests.flows.test_bad_canaries import fleet
from tests.flows.test_rollouts import Traffic, is_in, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway

pytestmark = pytest.mark.fault

STEPS: Final = 5
"""Writes of the plan of test_rollouts that change the split: of the preflight, two steps, the hold-back and the end."""
TWICE_SECONDS: Final = 20.0


def begin_two(begin: Callable[..., Gateway], models: Path) -> tuple[Gateway, Traffic]:
    """Begin a rollout on two gateways with one store; return the first, and who counts for the workers."""
    for version in (1, 2):
        publish(models, version)
    first, _ = fleet(begin, models)
    assert start(first).status == 201
    return first, Traffic(first)


def steps(gateway: Gateway) -> list[str]:
    """Return the splits that the controllers wrote, one for each entry of the history that is theirs."""
    entries = gateway.ask_admin("GET", "/api/v1/models/echo/history").json()
    return [str(entry["after"]["split"]) for entry in entries if entry["who"] == WHO and "2" in entry["after"]["split"]]


def twice(gateway: Gateway) -> int:
    """Return how many steps were written once more."""
    written = steps(gateway)
    return len(written) - len(set(written))


def test_two_controllers_that_both_lead_take_each_step_once(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    gateway, traffic = begin_two(partial(begin, command=inside.command("both-lead")), tmp_path / "models")

    traffic.until(is_in(gateway, "succeeded"), "the rollout succeeded")

    with table.promise("R22", "two controllers that both lead and look before either writes") as found:
        found("steps taken twice", twice(gateway), thresholds.NONE)
        found("steps that are missing", STEPS - len(set(steps(gateway))), thresholds.NONE)


def test_control_without_a_fence_two_controllers_take_a_step_twice(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    gateway, traffic = begin_two(partial(begin, command=inside.command("both-lead", "unfenced")), tmp_path / "models")

    def count() -> int:
        traffic.count()
        return twice(gateway)

    eventually(count, TWICE_SECONDS, "a step is taken twice")

    with table.control("R22", "the same, and steps are written whatever the revision") as found:
        found("steps taken twice", twice(gateway), thresholds.NONE)
