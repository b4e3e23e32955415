"""A control process without a network, and its admin API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from tests.control.fakes import House, no_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def admin(house: House) -> Iterator[TestClient]:
    """The admin API of a model with a route: revision 1, and revision 2 after it."""
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {})
    with TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5)) as client:
        for split in ({"1": 1}, {"1": 95, "2": 5}):
            answer = client.put("/api/v1/models/fraud/route", json={"split": split}, headers={"if-match": "*"})
            assert answer.status_code == 200
        yield client
