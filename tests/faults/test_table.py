"""The table of a run: a missed promise fails, a control that shows nothing fails, and both are in the table."""

from __future__ import annotations

import json
import math

import pytest

from tests.faults import thresholds
from tests.faults.table import Table
from tests.faults.thresholds import Limit
from tests.test_docs import rows

FEW = Limit(most=2, unit="s")


def test_a_promise_whose_figures_are_all_within_their_limits_is_kept() -> None:
    with (table := Table()).promise("R1", "frozen") as found:
        found("lost", 0, Limit(most=0))
        found("until it is back", 2, FEW)

    assert [row.word for row in table.rows] == ["kept", "kept"]


def found_late(table: Table, figure: float) -> None:
    with table.promise("R1", "frozen") as found:
        found("lost", 0, Limit(most=0))
        found("until it is back", figure, FEW)


@pytest.mark.parametrize("figure", [2.1, math.nan, math.inf])
def test_one_figure_over_its_limit_misses_the_promise_and_is_in_the_table(figure: float) -> None:
    table = Table()

    with pytest.raises(AssertionError, match=r"R1, frozen: until it is back: .*, promised ≤ 2 s"):
        found_late(table, figure)

    assert [row.word for row in table.rows] == ["kept", "MISSED"]


def test_a_promise_without_a_figure_is_none() -> None:
    with pytest.raises(AssertionError, match="without a figure"), Table().promise("R1", "frozen"):
        pass


def test_a_control_that_shows_nothing_says_that_the_test_is_blind() -> None:
    with pytest.raises(AssertionError, match="the test is blind"), Table().control("R1", "sabotaged") as found:
        found("lost", 0, Limit(most=0))


def test_a_control_that_fails_is_as_it_must_be() -> None:
    with (table := Table()).control("R1", "sabotaged") as found:
        found("lost", 7, Limit(most=0))

    assert table.rows[0].word == "control fails"


def test_the_table_is_shown_in_columns_and_told_as_json() -> None:
    with (table := Table()).promise("R18", "5 × saturation") as found:
        found("goodput", 0.95, Limit(least=0.9, unit="of the peak"))

    head, row = table.text().splitlines()
    document = json.loads(table.document())
    assert head.index("fault") == row.index("5 ×")
    assert row.endswith("≥ 0.9 of the peak  kept")
    assert document["rows"][0]["keeps"] is True
    assert {"processors", "load average before", "load average after", "gateway", "redis"} <= document["machine"].keys()
    assert document["seeds"]


def test_the_figures_of_the_contract_are_those_that_are_judged() -> None:
    described = {cells[0]: cells[1] for cells in rows("docs/faults.md", "threshold")}

    assert described == {name: str(limit) for name, limit in vars(thresholds).items() if isinstance(limit, Limit)}
