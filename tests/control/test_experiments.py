"""The report of an experiment, as the admin API gives it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.core.feedback import Fact, Prediction, fields_of
from gateway.ports.labels import Served

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.control.fakes import House

PATH = "/api/v1/models/fraud/experiments/report"


async def serve(house: House, version: int, right: int, wrong: int, *, revision: int, rule: str = "split") -> None:
    """Remember answers of *version* and label them."""
    for number in range(right + wrong):
        name, said = f"{rule}-{version}-{revision}-{number}", Prediction(version, revision, rule, classes=("1",))
        under = revision if rule == "split" else 0
        await house.store.remember("fraud", [Served(name, version, b"p", assigned_under=under)], ttl_seconds=60)
        fact = Fact(name, "label", ("1" if number < right else "0",))
        await house.store.label("fraud", name, "label", fact.text, fields_of(said, fact, 2.0))


def test_a_report_compares_what_the_split_chose_and_checks_the_proportion(house: House, admin: TestClient) -> None:
    async def play() -> int:
        revision = await house.route({"1": 75, "2": 25})
        await serve(house, 1, 270, 30, revision=revision)
        await serve(house, 2, 60, 40, revision=revision)
        await serve(house, 2, 50, 0, revision=revision, rule="rule-1")
        return revision

    revision = asyncio.run(play())

    report = admin.get(PATH, params={"first": "1", "second": "2", "apart": "2%"}).json()

    found = report["metrics"]["accuracy"]
    assert [side["labels"] for side in report["versions"]] == [300, 100]
    assert [(side["coverage"], side["mean_delay_seconds"]) for side in report["versions"]] == [(1.0, 2.0), (1.0, 2.0)]
    assert found["trials"] == [300, 100]
    assert found["difference"]["value"] == pytest.approx(-0.3)
    assert found["is_seen"]
    assert found["seconds_to_see"] == pytest.approx(found["trials_to_see"] / (400 / 3600))
    assert report["assignment"]["revisions"] == [{"revision": revision, "answers": [300, 100], "due_share": 0.25}]
    assert not report["assignment"]["is_mismatch"]
    assert (report["alpha"], report["apart"], report["prior"]) == (0.05, 0.02, "Beta(0.5, 0.5)")
    other = admin.get(PATH, params={"first": "1", "second": "2", "rule": "rule-1"}).json()
    assert (other["metrics"], other["assignment"], other["rules"]) == ({}, None, ["rule-1", "split"])
    assert [side["labels"] for side in other["versions"]] == [0, 50]


def test_requests_of_one_user_come_together_so_a_sticky_split_is_not_checked(house: House, admin: TestClient) -> None:
    async def play() -> None:
        revision = await house.route({"1": 50, "2": 50}, assign={"by": "header:x-user-id"})
        await serve(house, 1, 30, 0, revision=revision)

    asyncio.run(play())

    report = admin.get(PATH, params={"first": "1", "second": "2"}).json()

    assert report["assignment"] is None
    assert report["versions"][0]["answers"] == 30


def test_a_report_without_labels_says_so_in_numbers(admin: TestClient) -> None:
    report = admin.get(PATH, params={"first": "1", "second": "2"}).json()

    assert (report["metrics"], report["assignment"], report["rules"]) == ({}, None, [])
    assert [(side["answers"], side["coverage"], side["labels"]) for side in report["versions"]] == [(0, None, 0)] * 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "first"), ({"first": "1"}, "second"), ({"first": "one", "second": "2"}, "first"),
        ({"first": "1", "second": "1"}, "second"), ({"first": "1", "second": "2", "rule": "odd"}, "rule"),
        ({"first": "1", "second": "2", "apart": "60%"}, "apart"),
        ({"first": "1", "second": "2", "alpha": "0"}, "alpha"),
        ({"first": "1", "second": "2", "third": "3"}, "third"),
    ],
)  # fmt: skip
def test_what_cannot_be_reported_is_refused_with_its_place(
    admin: TestClient, query: dict[str, str], field: str
) -> None:
    refused = admin.get(PATH, params=query)

    assert (refused.status_code, refused.json()["field"]) == (422, field)


def test_an_unknown_model_and_a_store_that_is_away_have_no_report(house: House, admin: TestClient) -> None:
    query = {"first": "1", "second": "2"}
    assert admin.get("/api/v1/models/ghost/experiments/report", params=query).status_code == 404
    house.store.stop()

    assert admin.get(PATH, params=query).status_code == 503
