"""The whole history over the admin API: exported as it was written, and found out where it was not."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control import history_answers
from gateway.core.audit import entry_digest

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.control.fakes import House

HISTORY = "/api/v1/models/fraud/history"


def lines(admin: TestClient) -> list[dict[str, Any]]:
    answer = admin.get(f"{HISTORY}/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def forge(house: House) -> None:
    """Let somebody with the store's password blame another one for the oldest change."""
    entries = house.store._entries["fraud"]
    entries[-1] = dataclasses.replace(entries[-1], who="somebody else")


def test_an_export_is_the_history_with_digests_that_anybody_can_compute(admin: TestClient) -> None:
    exported = lines(admin)

    assert [{**each, "model": "fraud"} for each in admin.get(HISTORY).json()] == exported
    assert all(entry_digest(each) == each["digest"] for each in exported)
    assert [each["previous"] for each in exported] == [exported[1]["digest"], "0" * 64]


def test_an_export_of_several_pages_leaves_nothing_out(admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_answers, "PAGE_ENTRIES", 2)
    for weight in (1, 2, 3):
        body = {"weights": {"1": weight, "2": 1}}
        admin.patch("/api/v1/models/fraud/route/weights", json=body, headers={"if-match": "*"})

    assert [each["revision"] for each in lines(admin)] == [5, 4, 3, 2, 1]


def test_a_change_says_where_it_came_from(admin: TestClient) -> None:
    admin.post("/api/v1/models/fraud/versions/3/load", json={"reason": "try"})

    newest, before = lines(admin)[:2]

    assert (newest["address"], newest["action"], newest["version"]) == ("127.0.0.1", "load", "3")
    assert (before["address"], before["action"], before["version"]) == ("127.0.0.1", "route", "")


def test_a_move_of_a_rollout_says_where_it_came_from(admin: TestClient) -> None:
    started = admin.post(
        "/api/v1/models/fraud/rollouts",
        json={"candidate": "3", "steps": [{"weight": 50, "for": "1s"}]},
        headers={"if-match": "*"},
    )

    assert started.status_code == 201
    assert (lines(admin)[0]["action"], lines(admin)[0]["address"]) == ("rollout", "127.0.0.1")


def test_an_untouched_history_is_a_whole_chain(admin: TestClient) -> None:
    found = admin.get(f"{HISTORY}/chain").json()

    assert (found["entries"], found["linked"], found["is_whole"], found["breaks"]) == (2, 2, True, [])
    assert found["head"] == lines(admin)[0]["digest"]


def test_an_entry_that_was_rewritten_in_the_store_is_found(admin: TestClient, house: House) -> None:
    forge(house)

    found = admin.get(f"{HISTORY}/chain").json()

    assert [each["revision"] for each in found["breaks"]] == [2]


def test_a_digest_noted_elsewhere_must_still_be_there(admin: TestClient) -> None:
    head = admin.get(f"{HISTORY}/chain").json()["head"]

    assert admin.get(f"{HISTORY}/chain", params={"noted": head}).json()["breaks"] == []
    assert len(admin.get(f"{HISTORY}/chain", params={"noted": "ab" * 32}).json()["breaks"]) == 1


@pytest.mark.parametrize("query", ["noted=x", "noted=" + "A" * 64, "noted=a&noted=b", "head=1"])
def test_a_query_that_means_nothing_is_refused(admin: TestClient, query: str) -> None:
    assert admin.get(f"{HISTORY}/chain?{query}").status_code == 422


@pytest.mark.parametrize("what", ["chain", "export"])
def test_an_unknown_model_has_no_history(admin: TestClient, what: str) -> None:
    assert admin.get(f"/api/v1/models/nobody/history/{what}").status_code == 404


@pytest.mark.parametrize("what", ["chain", "export"])
def test_without_the_store_nothing_is_said_of_a_history(admin: TestClient, house: House, what: str) -> None:
    house.store.stop()

    assert admin.get(f"{HISTORY}/{what}").status_code == 503
