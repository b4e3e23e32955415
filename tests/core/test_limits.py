"""The limits that hold where nobody set others."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.core.limits import DEFAULT, Limits


def test_what_is_not_named_keeps_its_default() -> None:
    changed = Limits(head_seconds=1.0)

    assert dataclasses.replace(changed, head_seconds=DEFAULT.head_seconds) == DEFAULT


def test_a_connection_between_requests_outlives_the_idle_time_of_common_balancers() -> None:
    assert DEFAULT.idle_seconds > 60


def test_limits_cannot_be_changed_under_a_request() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT.headers = 1  # type: ignore[misc] # what is being tried
