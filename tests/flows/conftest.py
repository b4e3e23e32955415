"""Gateways for the tests: started on request, ended in any case, and shown when a test fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows import metrics
from tests.flows.gateway_process import STARTED, Gateway, eventually
from tests.flows.models import repository, route_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

SHOWN_CHARACTERS = 6_000
SEEDED_SECONDS = 15.0
"""How long a new store may take, on a busy machine, to have the routes that the files, or the models found, give it;
only waited for, not judged."""


ALONE = frozenset({
    "bad_canaries", "killers", "labelled", "rollback", "rows", "slow_and_deadly", "stopping", "weights",
    "worker_faults",
})  # fmt: skip
"""What measures time under load: it has the machine for itself. The rest waits more than it works: three at a time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test in this directory."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("flow")
            if item.path.stem.removeprefix("test_") in ALONE:
                item.add_marker("alone")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show with a failure what the gateways that live wrote."""
    report = yield
    if report.failed:
        for gateway in STARTED:
            text = f"{gateway.stdout()[-1000:]}\n{gateway.stderr()[-SHOWN_CHARACTERS:]}"
            report.sections.append((f"gateway in {gateway.directory}", text))
    return report


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Start a gateway with versions 1 and 2 of the echo model, unless the test brings its own; ended with the test."""
    started: list[Gateway] = []

    def start(name: str = "gateway", *, has_store: bool = True, **given: Any) -> Gateway:
        gateway = prepare(tmp_path, name, **given)
        started.append(gateway)
        gateway.start()
        if has_store:
            eventually(lambda: seeded(gateway), SEEDED_SECONDS, "every route is in the store and on every worker")
        return gateway

    yield start
    close_all(started)


def prepare(
    root: Path, name: str = "gateway", *, versions: tuple[int, ...] = (1, 2), route: str = "", **given: Any
) -> Gateway:
    """Return a gateway below *root* that is not started; *route* is what follows ``model: echo`` in its file."""
    models = given.pop("models", None) or root / name / "models"
    if not models.exists():
        repository(models, versions)
    routes = given.pop("routes", root / name / "routes")
    if route:
        route_file(routes, route)
    return Gateway(root / name, models, routes, **given)


def seeded(gateway: Gateway) -> bool:
    """Say whether every worker follows the store's route of every model."""
    revisions = metrics.scrape(gateway).get("gateway_route_revision", {})
    return bool(revisions) and all(revisions.values())


def close_all(gateways: list[Gateway]) -> None:
    """End all of them, also when ending one fails."""
    failures = []
    for gateway in gateways:
        try:
            gateway.close()
        except AssertionError as exc:
            failures.append(str(exc))
    assert not failures, failures
