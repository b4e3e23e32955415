"""The arithmetic of a fleet on one store: its constants are the gateway's, and it finds where the store is full."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.serving import watcher
from load_tests import scaling
from load_tests.scaling import Fleet, cost, most_replicas, spread

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_it_polls_as_the_gateway_does() -> None:
    assert (scaling.POLL_SECONDS, scaling.JITTER) == (watcher.POLL_SECONDS, watcher.JITTER)


def test_polls_grow_with_processes_times_models_and_the_rest_with_one_of_them() -> None:
    one = cost(Fleet(1, 10, workers=3))

    assert cost(Fleet(2, 20, workers=3)).polls == pytest.approx(4 * one.polls)
    assert cost(Fleet(1, 20, workers=3)).processes == one.processes
    assert cost(Fleet(1, 10, workers=7)).pages == one.pages
    assert one.total == pytest.approx(one.polls + one.pages + one.processes + one.rollouts + one.answers)


def test_what_was_measured_with_one_gateway_comes_out() -> None:
    rest = cost(Fleet(1, 1, workers=2, rollouts=0)).total
    many = cost(Fleet(1, 50, workers=1, rollouts=0)).total

    assert rest == pytest.approx(0.0019, rel=0.15)
    assert many == pytest.approx(0.0041, rel=0.15)


@pytest.mark.parametrize("models", [10, 100, 1_000, 10_000])
def test_the_most_replicas_are_those_that_a_store_is_just_not_full_with(models: int) -> None:
    most = most_replicas(models)

    assert cost(Fleet(most, models)).total <= scaling.FULL if most else True
    assert cost(Fleet(most + 1, models)).total > scaling.FULL


def test_a_fleet_that_its_store_carries_hears_of_a_change_within_a_poll() -> None:
    for models in (10, 100):
        change = spread(Fleet(most_replicas(models), models))

        assert change.late == 0
        assert change.half <= change.most <= change.last < scaling.POLL_SECONDS


def test_without_nudges_a_change_takes_as_long_as_the_polls_are_apart() -> None:
    fleet = Fleet(10, 10)

    assert spread(fleet).last < 0.05
    assert 0.4 < spread(fleet, nudged=False).last < 0.55


def test_control_a_fleet_that_is_too_large_gives_polls_up_and_never_hears_all() -> None:
    change = spread(Fleet(100, 1_000))

    assert change.late > 0
    assert math.isinf(change.last)


def test_the_same_seed_gives_the_same_spread() -> None:
    fleet = Fleet(10, 1_000)

    assert spread(fleet, seed=3) == spread(fleet, seed=3)


def test_the_table_of_the_page_is_what_the_arithmetic_says() -> None:
    rows = re.findall(r"^\| (\d[\d,]*) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)

    assert len(rows) == 4
    for row in rows:
        models, usual, one_worker, quiet, answers = (int(each.replace(",", "")) for each in row)
        assert usual == most_replicas(models)
        assert one_worker == most_replicas(models, workers=1)
        assert quiet == most_replicas(models, rollouts=0)
        assert answers == most_replicas(models, answers=100.0)


def test_a_quieter_fleet_fits_more_replicas() -> None:
    fleet = Fleet(1, 10)

    assert cost(replace(fleet, rollouts=0)).total < cost(fleet).total < cost(replace(fleet, answers=100)).total
