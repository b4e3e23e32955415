"""Words and numbers that scripts and dashboards read."""

from __future__ import annotations

from gateway.core import outcomes
from gateway.core.versions import VersionState, VersionStatus


def test_the_states_are_the_words_of_the_repository_index() -> None:
    assert [str(state) for state in VersionState] == ["UNAVAILABLE", "LOADING", "READY", "UNLOADING", "FAILED"]


def test_a_status_says_no_more_than_it_was_told() -> None:
    status = VersionStatus("fraud", 3, VersionState.LOADING)

    assert (status.reason, status.digest, status.signature, status.note) == ("", "", None, "")


def test_each_outcome_is_the_index_of_its_label() -> None:
    named = {name.lower(): value for name, value in vars(outcomes).items() if isinstance(value, int)}

    assert {outcomes.OUTCOMES[value]: value for value in named.values()} == named
    assert len(named) == len(outcomes.OUTCOMES)
