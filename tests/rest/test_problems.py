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
    "RevisionConflict": "is the admin API's",
    "NothingToRestore": "is the admin API's",
    "RecordingsUnreadable": "is the admin API's",
    "NoRollout": "is the admin API's",
    "RolloutUnderWay": "is the admin API's",
    "RouteOptimized": "is the admin API's",
    "VersionQuarantined": "is the admin API's",
    "CorruptRoute": "is the watcher's",
    "InvalidModel": "becomes a version's state",
    "RunStopped": "becomes DeadlineExceeded, or another run, in its lane",
}
"""Errors that cannot reach a caller of the inference port, and why."""

EVERY = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GatewayError)}

EXAMPLES: list[tuple[GatewayError, int, int, str]] = [
    (errors.InvalidRequest("no", "missing_input"), 400, outcomes.CLIENT_ERROR, "missing_input"),
    (errors.RequestTooLarge("no"), 413, outcomes.CLIENT_ERROR, "too_large"),
    (errors.UnsupportedMediaType("no"), 415, outcomes.CLIENT_ERROR, "unsupported_media_type"),
    (errors.UnknownModel("fraud"), 404, outcomes.CLIENT_ERROR, "unknown_model"),
    (errors.Unauthenticated("no"), 401, outcomes.CLIENT_ERROR, "unauthenticated"),
    (errors.Forbidden("no"), 403, outcomes.CLIENT_ERROR, "forbidden"),
    (errors.TooManyAttempts(7), 429, outcomes.CLIENT_ERROR, "too_many_attempts"),
    (errors.TooManyRequests("no"), 429, outcomes.CLIENT_ERROR, "too_many_requests"),
    (errors.VersionInUse("fraud", 1, "no"), 409, outcomes.CLIENT_ERROR, "version_in_use"),
    (errors.LoadFailed("fraud", 1, "no"), 409, outcomes.CLIENT_ERROR, "load_failed"),
    (errors.StoreUnavailable("no"), 503, outcomes.GATEWAY_ERROR, "store_unavailable"),
    (errors.Starting(), 503, outcomes.GATEWAY_ERROR, "starting"),
    (errors.UnknownVersion("fraud", "9"), 404, outcomes.CLIENT_ERROR, "unknown_version"),
    (errors.UnknownAlias("fraud", "champion", "is none"), 404, outcomes.CLIENT_ERROR, "unknown_alias"),
    (errors.UnknownPrediction("fraud", "a"), 404, outcomes.CLIENT_ERROR, "unknown_id"),
    (errors.LabelTooLate("fraud", "a"), 404, outcomes.CLIENT_ERROR, "expired_id"),
    (errors.LabelConflict("fraud", "a", "label"), 409, outcomes.CLIENT_ERROR, "conflicting_label"),
    (errors.VersionUnavailable("fraud", 1, "LOADING"), 503, outcomes.GATEWAY_ERROR, "version_unavailable"),
    (errors.Overloaded("fraud", 1), 503, outcomes.OVERLOAD, "overloaded"),
    (errors.BodiesOverloaded(70_000, 1 << 20), 503, outcomes.OVERLOAD, "bodies_overloaded"),
    (errors.FeedbackOverloaded("fraud"), 503, outcomes.OVERLOAD, "feedback_overloaded"),
    (errors.DeadlineExceeded("fraud", 1), 504, outcomes.TIMEOUT, "deadline_exceeded"),
    (errors.RejectedInput("fraud", 1), 400, outcomes.CLIENT_ERROR, "model_rejected_input"),
    (errors.InputRefused("fraud", 1, "no"), 500, outcomes.MODEL_ERROR, "model_error"),
    (errors.VersionStuck("fraud", 1), 503, outcomes.TIMEOUT, "version_stuck"),
    (errors.Quarantined("fraud", 1), 503, outcomes.GATEWAY_ERROR, "quarantined"),
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
def test_exactly_a_503_and_a_429_say_when_to_try_again(
    error: GatewayError, status: int, outcome: int, code: str
) -> None:
    names = {name for name, _ in Problem(error, "").headers}

    assert (b"retry-after" in names) == (status in {429, 503})


def test_somebody_without_a_token_is_told_that_one_is_wanted() -> None:
    assert (b"www-authenticate", b'Bearer realm="gateway"') in Problem(errors.Unauthenticated("no"), "").headers


def test_too_many_attempts_name_the_seconds_to_wait() -> None:
    assert (b"retry-after", b"7") in Problem(errors.TooManyAttempts(7), "").headers


def test_only_the_models_own_failures_count_against_it() -> None:
    against = {error.__class__.__name__ for error, _, outcome, _ in EXAMPLES if outcome in (outcomes.MODEL_ERROR, 3)}

    assert against == {"ModelFailed", "InputRefused", "DeadlineExceeded", "VersionStuck"}


def test_a_fault_of_the_gateway_says_no_more_than_that() -> None:
    problem = Problem(None, "id-1")

    assert (problem.status, problem.outcome) == (500, outcomes.GATEWAY_ERROR)
    assert json.loads(problem.body)["code"] == "gateway_error"


def test_an_error_without_a_row_is_a_fault_of_the_gateway_and_still_answered() -> None:
    problem = Problem(errors.CorruptRoute("fraud", "redis://secret@host"), "id-1")

    assert (problem.status, problem.outcome) == (500, outcomes.GATEWAY_ERROR)
    assert b"secret" not in problem.body
