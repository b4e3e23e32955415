"""Every error has an answer."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.control.problems import TABLE
from gateway.core import errors
from tests.control.fakes import FakeDoor, House

if TYPE_CHECKING:
    from collections.abc import Sequence

NEVER_HERE = {
    errors.GatewayError, errors.InvalidSettings, errors.StateDirectoryInUse, errors.InvalidModel, errors.Overloaded,
    errors.BodiesOverloaded, errors.FeedbackOverloaded, errors.TooManyRequests,
    errors.DeadlineExceeded, errors.ModelFailed, errors.Starting, errors.LoadFailed,
    errors.UnknownAlias, errors.Quarantined, errors.VersionStuck, errors.RunStopped, errors.RejectedInput,
    errors.InputRefused, errors.LabelTooLate, errors.UnknownPrediction, errors.LabelConflict,
}  # fmt: skip
"""Errors of the start, of the loader and of the inference port."""


def test_every_error_that_reaches_the_admin_port_has_a_status_of_its_own() -> None:
    known = {cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.GatewayError)}

    assert {cls for cls in known - NEVER_HERE if cls not in TABLE} == set()


def test_no_two_errors_share_a_type() -> None:
    kinds = [kind for _, kind, _ in TABLE.values()]

    assert len(kinds) == len(set(kinds))


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/v1/models/nobody/route", 404), ("GET", "/nowhere", 404), ("DELETE", "/healthz", 405)],
    ids=["of the domain", "unknown path", "wrong method"],
)
def test_a_problem_names_the_trace_of_its_request(admin: TestClient, method: str, path: str, status: int) -> None:
    answer = admin.request(method, path, headers={"traceparent": PARENT})

    assert (answer.status_code, answer.json()["trace_id"]) == (status, TRACE)


def test_a_crash_names_the_trace_of_its_request() -> None:
    def broken(accept: str) -> tuple[bytes, str]:
        raise RuntimeError(accept)

    house = House(FakeDoor())
    app = create_admin(house.operations, house.workers, house.door, broken, {})
    client = TestClient(app, raise_server_exceptions=False)

    answer = client.get("/metrics", headers={"traceparent": PARENT})

    assert (answer.status_code, answer.json()["trace_id"]) == (500, TRACE)


@pytest.mark.parametrize("sent", [[], ["nonsense"], [PARENT, PARENT]], ids=["none", "unreadable", "two"])
def test_a_problem_of_a_request_without_a_trace_names_none(admin: TestClient, sent: Sequence[str]) -> None:
    answer = admin.get("/nowhere", headers=[("traceparent", each) for each in sent])

    assert "trace_id" not in answer.json()
