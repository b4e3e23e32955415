"""One fleet for all tests of this directory, and what they measured, shown at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from tests.fleet.hosts import Fleet
from tests.fleet.network import why_not
from tests.flows.conftest import pytest_runtest_makereport

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pytest_runtest_makereport"]


class Figure(NamedTuple):
    """One thing that was measured, as it is shown."""

    what: str
    figure: str
    promised: str


FIGURES: Final = pytest.StashKey[list[Figure]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test in this directory: it takes a minute, and all of the machine."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for mark in ("flow", "alone", "long"):
                item.add_marker(mark)


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[Figure]:
    """Where a test writes what it measured."""
    return pytestconfig.stash.setdefault(FIGURES, [])


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three gateways behind a balancer; gone with the session, whatever happens in it."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    try:
        made.start()
        yield made
    finally:
        made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured beside what is promised."""
    found = config.stash.get(FIGURES, [])
    if not found:
        return
    rows = [Figure("what", "figure", "promised"), *found]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    terminalreporter.section("fleets")
    for what, figure, promised in rows:
        terminalreporter.write_line(f"{what:<{widths[0]}}  {figure:<{widths[1]}}  {promised}")
