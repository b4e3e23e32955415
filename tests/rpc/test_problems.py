"""The one table of the gRPC door's errors, beside the one of HTTP."""

from __future__ import annotations

from grpc import StatusCode

from gateway.core import errors
from gateway.rest.problems import TABLE as HTTP
from gateway.rpc.problems import FAULT, TABLE, problem

SAME_KIND = {
    400: {StatusCode.INVALID_ARGUMENT}, 404: {StatusCode.NOT_FOUND}, 413: {StatusCode.RESOURCE_EXHAUSTED},
    415: {StatusCode.UNIMPLEMENTED}, 500: {StatusCode.INTERNAL},
    503: {StatusCode.UNAVAILABLE, StatusCode.FAILED_PRECONDITION},
    401: {StatusCode.UNAUTHENTICATED}, 403: {StatusCode.PERMISSION_DENIED}, 409: {StatusCode.FAILED_PRECONDITION},
    429: {StatusCode.RESOURCE_EXHAUSTED}, 504: {StatusCode.DEADLINE_EXCEEDED},
}  # fmt: skip


def test_an_error_counts_the_same_whichever_protocol_it_is_told_in() -> None:
    assert {error: outcome for error, (_, outcome) in TABLE.items()} == {
        error: outcome for error, (_, outcome, _) in HTTP.items()
    }


def test_every_status_has_its_code() -> None:
    for error, (code, _) in TABLE.items():
        assert code in SAME_KIND[HTTP[error][0]], error


def test_what_crashed_two_workers_has_no_code_that_clients_retry() -> None:
    assert TABLE[errors.Quarantined][0] is StatusCode.FAILED_PRECONDITION


def test_what_has_no_row_is_a_fault_of_the_gateway_and_says_no_more() -> None:
    for error in (None, errors.CorruptRoute("fraud", "redis://secret")):
        code, outcome, text = problem(error)

        assert (code, outcome) == FAULT
        assert "secret" not in text
