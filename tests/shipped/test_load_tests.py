"""The load tests notice what they are there to notice."""

from __future__ import annotations

import pytest

from load_tests.promises import Assignment, Limits


def headers(version: str, revision: str, **more: str) -> dict[str, str]:
    return {"x-gateway-version": version, "x-gateway-revision": revision} | more


def test_a_user_who_changes_version_within_a_revision_is_a_fault() -> None:
    user = Assignment()
    user.fault(headers("1", "7"))

    assert user.fault(headers("2", "7")) == "at revision 7 this user was on version 1 and is now on version 2"


def test_a_user_may_change_version_when_the_revision_changes() -> None:
    user = Assignment()
    user.fault(headers("1", "7"))

    assert user.fault(headers("2", "8")) == ""


def test_a_fallback_leaves_the_user_on_the_version_it_is_assigned_to() -> None:
    user = Assignment()
    user.fault(headers("2", "7"))

    assert user.fault(headers("1", "7") | {"x-gateway-fallback-from": "2"}) == ""


def test_an_answer_that_does_not_name_its_version_is_a_fault() -> None:
    assert Assignment().fault({}) == "the answer does not say which version and revision gave it"


def test_a_run_within_its_limits_breaks_nothing() -> None:
    assert Limits(p95_ms=50, error_ratio=0.01).exceeded(1000, error_ratio=0.01, p95_ms=50) == []


def test_a_run_over_both_limits_names_both() -> None:
    broken = Limits(p95_ms=50, error_ratio=0.01).exceeded(1000, error_ratio=0.02, p95_ms=51)

    assert ["LOCUST_MAX_ERROR_RATIO" in broken[0], "LOCUST_MAX_P95_MS" in broken[1]] == [True, True]


def test_a_run_without_requests_is_no_success() -> None:
    assert Limits().exceeded(0, error_ratio=0.0, p95_ms=0.0) == ["no request was made"]


def test_limits_come_from_the_environment() -> None:
    assert Limits.read({"LOCUST_MAX_P95_MS": "20", "LOCUST_MAX_ERROR_RATIO": "0.5"}) == Limits(20, 0.5)
    assert Limits.read({}) == Limits()


@pytest.mark.parametrize("text", ["fast", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_is_refused_by_the_name_of_its_variable(text: str) -> None:
    with pytest.raises(ValueError, match="LOCUST_MAX_P95_MS must be a number from 0 up"):
        Limits.read({"LOCUST_MAX_P95_MS": text})
