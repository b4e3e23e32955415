"""The one table of the gRPC door's errors, beside the one of HTTP."""

from __future__ import annotations

from gateway.core import errors
from gateway.rest.problems import TABLE as HTTP
from gateway.rpc.problems import FAULT, TABLE, problem
from gateway.rpc.status import Status

SAME_KIND = {
    400: {Status.INVALID_ARGUMENT}, 404: {Status.NOT_FOUND}, 413: {Status.RESOURCE_EXHAUSTED},
    415: {Status.UNIMPLEMENTED}, 500: {Status.INTERNAL},
    503: {Status.UNAVAILABLE, Status.FAILED_PRECONDITION},
    401: {Status.UNAUTHENTICATED}, 403: {Status.PERMISSION_DENIED}, 409: {Status.FAILED_PRECONDITION},
    429: {Status.RESOURCE_EXHAUSTED}, 504: {Status.DEADLINE_EXCEEDED},
}  # fmt: skip


def test_an_error_counts_the_same_whichever_protocol_it_is_told_in() -> None:
    assert {error: outcome for error, (_, outcome) in TABLE.items()} == {
        error: outcome for error, (_, outcome, _) in HTTP.items()
    }


def test_every_status_has_its_code() -> None:
    for error, (code, _) in TABLE.items():
        assert code in SAME_KIND[HTTP[error][0]], error


def test_what_crashed_two_workers_has_no_code_that_clients_retry() -> None:
    assert TABLE[errors.Quarantined][0] is Status.FAILED_PRECONDITION


def test_what_has_no_row_is_a_fault_of_the_gateway_and_says_no_more() -> None:
    for error in (None, errors.CorruptRoute("fraud", "redis://secret")):
        code, outcome, text = problem(error)

        assert (code, outcome) == FAULT
        assert "secret" not in text
