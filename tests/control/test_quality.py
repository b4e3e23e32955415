"""What the admin API shows of labels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.ports.labels import Served

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.control.fakes import House

PATH = "/api/v1/models/fraud/quality"


def test_the_quality_of_each_version_is_shown_by_windows(house: House, admin: TestClient) -> None:
    async def label() -> None:
        await house.store.remember("fraud", [Served("a", 1, b"p")], ttl_seconds=60, dropped={(2, "dropped"): 5})
        await house.store.label("fraud", "a", "label", "1", {"1|labelled": 1, "1|classed": 1, "1|correct": 1})

    asyncio.run(label())

    one, two = admin.get(PATH).json()["versions"]

    assert (one["version"], two["version"]) == ("1", "2")
    assert {name: window["accuracy"] for name, window in one["windows"].items()} == dict.fromkeys(
        ("all", "24h", "1h", "5m"), 1.0
    )
    assert one["windows"]["all"]["remembered"] == 1
    assert two["windows"]["1h"] is None
    assert two["windows"]["all"]["dropped"] == 5


def test_a_model_without_labels_has_no_quality_and_an_unknown_one_is_told_so(admin: TestClient) -> None:
    assert admin.get(PATH).json() == {"model": "fraud", "enough_labels": 100, "versions": []}
    assert admin.get("/api/v1/models/ghost/quality").status_code == 404


def test_without_the_store_quality_is_unavailable(house: House, admin: TestClient) -> None:
    house.store.stop()

    assert admin.get(PATH).status_code == 503
