"""The one table of the inference port's errors."""

from __future__ import annotations

import inspect
import json

import pytest

from gateway.core import errors, outcomes
from gateway.core.errors import GatewayError
from gateway.rest.problems import TABLE, Problem

ELSEWHERE = {
    "GatewayError": "is never raised itself",
    "InvalidSettings": "ends the start",
    "StateDirectoryInUse": "ends the start",
    "InvalidDocument": "is the admin API's and the watcher's",
    "UnknownRoute": "is the admin API's",
    "VersionInUse": "is the admin API's",
    "RevisionConflict": "is the admin API's",
    "NothingToRestore": "is the admin API's",
    "NoRollout": "is the admin API's",
    "RolloutUnderWay": "is the admin API's",
    "VersionQuarantined": "is the admin API's",
    "StoreUnavailable": "is the admin API's: no inference waits on the store",
    "CorruptRoute": "is the watcher's",
    "InvalidModel": "becomes a version's state",
    "Unauthenticated": "is the admin API's",
    "Forbidden": "is the admin API's",
    "TooManyAttempts": "is the admin API's",
}
"""Errors that cannot reach a caller of the inference port, and why."""

EVERY = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GatewayError)}

EXAMPLES: list[tuple[GatewayError, int, int, str]] = [
    (errors.InvalidRequest("no", "missing_input"), 400, outcomes.CLIENT_ERROR, "missing_input"),
    (errors.RequestTooLarge("no"), 413, outcomes.CLIENT_ERROR, "too_large"),
    (errors.UnsupportedMediaType("no"), 415, outcomes.CLIENT_ERROR, "unsupported_media_type"),
    (errors.UnknownModel("fraud"), 404, outcomes.CLIENT_ERROR, "unknown_model"),
    (errors.Starting(), 503, outcomes.GATEWAY_ERROR, "starting"),
    (errors.UnknownVersion("fraud", "9"), 404, outcomes.CLIENT_ERROR, "unknown_version"),
    (errors.VersionUnavailable("fraud", 1, "LOADING"), 503, outcomes.GATEWAY_ERROR, "version_unavailable"),
    (errors.Overloaded("fraud", 1), 503, outcomes.OVERLOAD, "overloaded"),
    (errors.DeadlineExceeded("fraud", 1), 504, outcomes.TIMEOUT, "deadline_exceeded"),
    (errors.ModelFailed("fraud", 1, "no"), 500, outcomes.MODEL_ERROR, "model_error"),
    (errors.ModelFailed("fraud", 1, "no", "nonfinite_output"), 500, outcomes.MODEL_ERROR, "nonfinite_output"),
]


def test_every_error_has_a_row_or_a_reason_why_it_cannot_get_here() -> None:
    with_a_row = {kind.__name__ for kind in TABLE}

    assert with_a_row | set(ELSEWHERE) == set(EVERY)
    assert not with_a_row & set(ELSEWHERE)


def test_every_row_has_an_example_here() -> None:
    assert {type(error) for error, *_ in EXAMPLES} == set(TABLE)


@pytest.mark.parametrize(("error", "status", "outcome", "code"), EXAMPLES, ids=lambda each: type(each).__name__)
def test_an_error_is_told_by_status_outcome_and_code(error: GatewayError, status: int, outcome: int, code: str) -> None:
    problem = Problem(error, "id-1")

    assert (problem.status, problem.outcome) == (status, outcome)
    assert json.loads(problem.body) == {"error": str(error), "code": code, "request_id": "id-1"}
    assert (b"content-type", b"application/json") in problem.headers


@pytest.mark.parametrize(("error", "status", "outcome", "code"), EXAMPLES, ids=lambda each: type(each).__name__)
def test_exactly_a_503_says_when_to_try_again(error: GatewayError, status: int, outcome: int, code: str) -> None:
    names = {name for name, _ in Problem(error, "").headers}

    assert (b"retry-after" in names) == (status == 503)


def test_only_the_models_own_failures_count_against_it() -> None:
    against = {error.__class__.__name__ for error, _, outcome, _ in EXAMPLES if outcome in (outcomes.MODEL_ERROR, 3)}

    assert against == {"ModelFailed", "DeadlineExceeded"}


def test_a_fault_of_the_gateway_says_no_more_than_that() -> None:
    problem = Problem(None, "id-1")

    assert (problem.status, problem.outcome) == (500, outcomes.GATEWAY_ERROR)
    assert json.loads(problem.body)["code"] == "gateway_error"


def test_an_error_without_a_row_is_a_fault_of_the_gateway_and_still_answered() -> None:
    problem = Problem(errors.StoreUnavailable("redis://secret@host"), "id-1")

    assert (problem.status, problem.outcome) == (500, outcomes.GATEWAY_ERROR)
    assert b"secret" not in problem.body
