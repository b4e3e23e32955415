"""Every error has an answer."""

from __future__ import annotations

import inspect

from gateway.control.problems import TABLE
from gateway.core import errors

NEVER_HERE = {
    errors.GatewayError, errors.InvalidSettings, errors.StateDirectoryInUse, errors.InvalidModel, errors.Overloaded,
    errors.FeedbackOverloaded,
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
