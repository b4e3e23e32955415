"""The table that every test of a fault writes into, shown when all have run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.faults.table import Table
from tests.flows.conftest import begin, pytest_runtest_makereport

__all__ = ["begin", "pytest_runtest_makereport"]  # a gateway for a test, and what it wrote where that fails

TABLE: Final = pytest.StashKey[Table]()
SECONDS: Final = 8.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take how long a fault lasts, and where the table goes."""
    group = parser.getgroup("faults")
    group.addoption("--fault-seconds", type=float, default=SECONDS, help="how long a fault that can last does")
    group.addoption("--fault-json", type=Path, help="write the table there")


def pytest_configure(config: pytest.Config) -> None:
    """Begin with an empty table."""
    config.stash[TABLE] = Table()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, and write it where it was asked for."""
    table = config.stash[TABLE]
    if table.rows:
        terminalreporter.section("promises under fault")
        terminalreporter.write_line(table.text())
    if (into := config.getoption("--fault-json", None)) is not None:
        into.write_text(table.document())


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    """The table of this run."""
    return request.config.stash[TABLE]


@pytest.fixture
def fault_seconds(request: pytest.FixtureRequest) -> float:
    """How long a fault lasts that can last."""
    return float(request.config.getoption("--fault-seconds", SECONDS))
