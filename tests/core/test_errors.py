"""An error names its subject and says what to do next; it knows no status code."""

from __future__ import annotations

import inspect

import pytest

from gateway.core import errors

SAID = [
    (errors.StateDirectoryInUse("/var/g", "42"), ["/var/g", "42", "--state-dir"]),
    (errors.InvalidDocument("split.2", "is written twice"), ["split.2: is written twice"]),
    (errors.RecordingsUnreadable("Permission denied"), ["Permission denied", "recordings/", "owner"]),
    (errors.UnknownModel("fraud"), ["'fraud'", "models list"]),
    (errors.UnknownVersion("fraud", "7"), ["'fraud'", "'7'", "versions list fraud"]),
    (errors.UnknownAlias("fraud", "champion", "is none"), ["'fraud'", "'champion' of", "is none", "routes show fraud"]),
    (errors.Starting(), ["starting", "try again"]),
    (errors.UnknownRoute("fraud"), ["'fraud'", "routes apply"]),
    (errors.VersionUnavailable("fraud", 7, "FAILED", "bad file"), ["7", "'fraud'", "FAILED: bad file"]),
    (errors.LoadFailed("fraud", 7, "bad_model: no graph"), ["7", "'fraud'", "bad_model: no graph", "load it again"]),
    (errors.VersionInUse("fraud", 7, "it has weight"), ["7", "'fraud'", "it has weight"]),
    (errors.VersionQuarantined("fraud", 2, "errors: E 300"), ["2", "'fraud'", "errors: E 300", "retry", "--force"]),
    (errors.NoRollout("fraud"), ["'fraud'", "rollouts start"]),
    (errors.RouteOptimized("fraud"), ["'fraud'", "optimize", "routes apply"]),
    (errors.RolloutUnderWay("fraud", [2, 3], "step"), ["2, 3", "'fraud'", "step", "abort", "--supersede"]),
    (errors.RevisionConflict("fraud", 3, 4), ["'fraud'", "revision 3", "revision 4", "read it again"]),
    (errors.RevisionConflict("fraud", None, 4), ["being written", "revision 4"]),
    (errors.CorruptRoute("fraud", "not_json", "at byte 3"), ["'fraud'", "not_json", "at byte 3"]),
    (errors.InvalidModel("digest", "another file"), ["another file"]),
    (errors.RequestTooLarge("65 MiB"), ["65 MiB"]),
    (errors.UnsupportedMediaType("text/xml"), ["text/xml"]),
    (errors.Overloaded("fraud", 7), ["7", "'fraud'", "try again"]),
    (errors.BodiesOverloaded(70_000, 1 << 20), ["70000", "held-bytes=1048576", "try again"]),
    (errors.FeedbackOverloaded("fraud"), ["'fraud'", "feedback", "send it again"]),
    (errors.DeadlineExceeded("fraud", 7), ["7", "'fraud'", "deadline"]),
    (errors.RejectedInput("fraud", 7), ["7", "'fraud'", "out of range", "send values"]),
    (errors.RunStopped("fraud", 7), ["7", "'fraud'", "stopped"]),
    (errors.VersionStuck("fraud", 7), ["7", "'fraud'", "hangs", "try again"]),
    (errors.Quarantined("fraud", 7), ["7", "'fraud'", "two workers crashed", "ten minutes"]),
    (errors.TooManyAttempts(30), ["30 s"]),
    (errors.UnknownPrediction("fraud", "r-1"), ["'fraud'", "'r-1'", "gateway_quality_dropped_total"]),
    (errors.LabelTooLate("fraud", "r-1"), ["'fraud'", "'r-1'", "--feedback-ttl"]),
    (errors.LabelConflict("fraud", "r-1", "label"), ["'fraud'", "'r-1'", "another label", "stays"]),
    (errors.ModelFailed("fraud", 7, "no output"), ["7", "'fraud'", "no output"]),
]


@pytest.mark.parametrize(("error", "parts"), SAID, ids=lambda value: type(value).__name__)
def test_a_message_names_what_its_reader_needs(error: errors.GatewayError, parts: list[str]) -> None:
    message = str(error)

    assert [part for part in parts if part not in message] == []


def test_a_reason_that_is_not_there_leaves_no_dangling_colon() -> None:
    assert str(errors.VersionUnavailable("fraud", 7, "LOADING")).endswith("LOADING")
    assert str(errors.CorruptRoute("fraud", "too_large")).endswith("(too_large)")
    assert str(errors.InvalidDocument("", "is no route")) == "is no route"


def test_every_error_can_be_caught_as_the_gateways_own() -> None:
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]

    assert classes
    assert all(issubclass(value, errors.GatewayError) for value in classes)


def test_what_scripts_switch_on_is_kept_beside_the_message() -> None:
    assert errors.RequestTooLarge("x").code == "too_large"
    assert errors.UnsupportedMediaType("x").code == "unsupported_media_type"
    assert errors.InvalidRequest("x").code == "invalid_request"
    assert errors.ModelFailed("m", 1, "x").code == "model_error"
