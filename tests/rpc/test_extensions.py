"""Triton's extensions over gRPC, over a real connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode

from gateway.core import errors
from gateway.core.signature import DATATYPES
from gateway.ports.metrics import VersionFigures
from gateway.rpc.descriptors import MESSAGES
from gateway.rpc.extensions import NUMBERS
from gateway.serving.configuration import data_type
from tests.serving.fakes import FAILED

if TYPE_CHECKING:
    from tests.rpc.door import RpcDoor

VERBS = {"load": "RepositoryModelLoad", "unload": "RepositoryModelUnload"}


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize(
    ("parameters", "version"),
    [
        ({}, None),
        ({"unload_dependents": {"bool_param": False}}, None),
        ({"version": {"string_param": "2"}}, 2),
        ({"version": {"int64_param": 2}}, 2),
    ],
)
async def test_an_order_names_its_version_as_text_or_number(
    door: RpcDoor, verb: str, parameters: dict[str, dict[str, object]], version: int | None
) -> None:
    request = MESSAGES[f"{VERBS[verb]}Request"](model_name="fraud", parameters=parameters)

    said = await door.call(VERBS[verb], request, metadata=[("authorization", "Bearer x")])

    assert said.code is StatusCode.OK
    assert door.control.orders == [(verb, "fraud", version, "ann")]
    assert door.control.callers[0].address == "127.0.0.1"
    assert door.control.callers[0].headers["authorization"] == "Bearer x"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"config": {"string_param": "{}"}}, StatusCode.INVALID_ARGUMENT),
        ({"file:1/model.onnx": {"bytes_param": b"x"}}, StatusCode.INVALID_ARGUMENT),
        ({"version": {"bool_param": True}}, StatusCode.INVALID_ARGUMENT),
        ({"version": {"string_param": "latest"}}, StatusCode.NOT_FOUND),
    ],
)
async def test_an_order_that_cannot_be_honoured_is_refused_and_not_given(
    door: RpcDoor, parameters: dict[str, dict[str, object]], code: StatusCode
) -> None:
    request = MESSAGES["RepositoryModelLoadRequest"](model_name="fraud", parameters=parameters)

    said = await door.call("RepositoryModelLoad", request)

    assert said.code is code
    assert door.control.orders == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Forbidden("no"), StatusCode.PERMISSION_DENIED),
        (errors.Unauthenticated("no"), StatusCode.UNAUTHENTICATED),
        (errors.VersionInUse("fraud", 2, "the route gives it weight 5"), StatusCode.FAILED_PRECONDITION),
        (errors.LoadFailed("fraud", 2, "bad_model: no graph"), StatusCode.FAILED_PRECONDITION),
        (errors.StoreUnavailable("the store does not answer"), StatusCode.UNAVAILABLE),
    ],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_what_came_of_an_order_is_told_with_its_reason(
    door: RpcDoor, verb: str, error: Exception, code: StatusCode
) -> None:
    if isinstance(error, errors.Forbidden | errors.Unauthenticated):
        door.control.turned_away = error
    else:
        door.control.failure = error

    said = await door.call(VERBS[verb], MESSAGES[f"{VERBS[verb]}Request"](model_name="fraud"))

    assert (said.code, said.details) == (code, str(error))


async def test_statistics_are_of_the_ready_versions_that_were_asked_for(door: RpcDoor) -> None:
    door.floor.held.move("fraud", 3, FAILED, "bad_model: no graph")
    door.figures["fraud", "2"] = VersionFigures(succeeded=5, request_seconds=0.5, runs=3, run_seconds=0.25, rows=7)

    asked = [MESSAGES["ModelStatisticsRequest"](**how) for how in ({}, {"name": "fraud", "version": "2"})]
    every, one = [(await door.call("ModelStatistics", each)).message.model_stats for each in asked]
    missing = await door.call("ModelStatistics", MESSAGES["ModelStatisticsRequest"](name="fraud", version="3"))

    assert [(row.name, row.version) for row in every] == [("fraud", "1"), ("fraud", "2")]
    assert (one[0].inference_count, one[0].execution_count) == (7, 3)
    assert (one[0].inference_stats.success.count, one[0].inference_stats.success.ns) == (5, 500_000_000)
    assert one[0].inference_stats.compute_infer.ns == 250_000_000
    assert missing.code is StatusCode.UNAVAILABLE


async def test_a_configuration_has_the_signature_with_tritons_numbers(door: RpcDoor) -> None:
    said = await door.call("ModelConfig", MESSAGES["ModelConfigRequest"](name="fraud"))

    config = said.message.config
    assert (config.name, config.platform, config.max_batch_size) == ("fraud", "onnxruntime_onnx", 0)
    assert [(each.name, each.data_type, list(each.dims)) for each in config.input] == [("x", 11, [-1, 2])]
    assert [(each.name, each.data_type, list(each.dims)) for each in config.output] == [("y", 11, [-1, 2])]


def test_every_datatype_has_a_number() -> None:
    assert {data_type(datatype) for datatype in DATATYPES} == set(NUMBERS)
