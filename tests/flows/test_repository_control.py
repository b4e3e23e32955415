"""Loading, unloading, statistics and configuration with Triton's own clients and two workers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from gateway.rpc.descriptors import MESSAGES
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL, publish, request, tagged
from tests.flows.test_grpc import free_port
from tests.flows.test_versions import pinned, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.flows.gateway_process import Answer, Gateway

pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

ROUTE: Final = 'split: {"1": 1, "2": 1}\nassign: {by: random}\nbaseline: "1"'
CONTROL: Final = ("--repository-control", "true")
ASKED: Final = 20
TOLD_MS: Final = 1_000
"""Workers tell when they last began a request with each beat, four times a second."""


def order(gateway: Gateway, path: str, body: object = None, **headers: str) -> Answer:
    return gateway.ask("POST", f"/v2/repository/models/{path}", body, headers)


def told(gateway: Gateway) -> set[str]:
    """Return the states of the versions as the workers told them, which is later than they know them."""
    [model] = gateway.ask_admin("GET", "/api/v1/models").json()["models"]
    return {version["state"] for version in model["versions"]}


@pytest.fixture
def triton(begin: Callable[..., Gateway]) -> Iterator[tuple[Gateway, Any, Any]]:
    """A gateway that takes orders, with versions 1 to 3, and Triton's clients for HTTP and gRPC."""
    from tritonclient import grpc, http  # type: ignore[import-untyped,import-not-found,unused-ignore]

    port = free_port()
    gateway = begin(flags=("--grpc-port", str(port), *CONTROL), route=ROUTE, versions=(1, 2, 3))
    eventually(lambda: told(gateway) == {"READY"}, 8, "what all workers tell of the versions")
    clients = http.InferenceServerClient(f"127.0.0.1:{gateway.port}"), grpc.InferenceServerClient(f"127.0.0.1:{port}")
    yield gateway, *clients
    for client in clients:
        client.close()


def test_without_the_flag_nobody_loads_or_unloads(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)

    answers = [order(gateway, f"{MODEL}{version}/{verb}") for version in ("", "/versions/2") for verb in VERBS]

    assert {answer.status for answer in answers} == {403}
    assert all("--repository-control" in answer.json()["error"] for answer in answers)
    assert states(gateway, 1) == states(gateway, 2) == {"READY"}


VERBS: Final = ("load", "unload")


def test_a_version_is_gone_from_every_worker_when_unload_returns_and_back_when_load_does(
    triton: tuple[Gateway, Any, Any],
) -> None:
    gateway, http, grpc = triton

    http.unload_model(MODEL, query_params={"version": "3"})
    assert states(gateway, 3) == {"UNAVAILABLE"}
    ready = gateway.ask("POST", "/v2/repository/index", {"ready": True}).json()
    assert [row["version"] for row in ready] == ["1", "2"]
    http.load_model(MODEL, query_params={"version": "3"})
    assert states(gateway, 3) == {"READY"}
    assert {pinned(gateway, 3).status for _ in range(ASKED)} == {200}
    reason = gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/history").json()[0]
    assert (reason["action"], reason["who"], reason["reason"]) == ("load", "local", "inference port: load version 3")
    assert {row.version for row in grpc.get_model_repository_index().models} == {"1", "2", "3"}


async def test_a_whole_model_leaves_and_returns_with_stock_clients_and_no_request_is_lost(
    triton: tuple[Gateway, Any, Any],
) -> None:
    gateway, _, grpc = triton
    publish(gateway.models, 1, model="other")
    other = "/v2/models/other/infer"
    await asyncio.to_thread(eventually, lambda: gateway.ask("POST", other, BODY).status == 200, 8, "the other model")

    async with Load(gateway.port) as load:
        await load.answered(50)
        await stock_http(gateway, "unload_model")
        gone = [gateway.ask("POST", f"/v2/models/{MODEL}/infer", BODY) for _ in range(ASKED)]
        ready = [gateway.is_ready() for _ in range(ASKED)]
        beside = [gateway.ask("POST", other, BODY).status for _ in range(ASKED)]
        await stock_http(gateway, "load_model")
        back = [gateway.ask("POST", f"/v2/models/{MODEL}/infer", BODY).status for _ in range(ASKED)]
        await asyncio.to_thread(grpc.unload_model, MODEL)
        assert {row.state for row in grpc.get_model_repository_index().models if row.name == MODEL} == {"UNAVAILABLE"}
        await asyncio.to_thread(grpc.load_model, MODEL)
        await load.answered(50)

    assert {answer.status for answer in gone} == {503}
    assert "unloaded by operator" in gone[0].json()["error"]
    assert (set(ready), set(beside), set(back)) == ({True}, {200}, {200})
    assert {fault.status for fault in load.faults} <= {503}
    assert {row["state"] for row in gateway.index().values()} == {"READY"}


async def stock_http(gateway: Gateway, verb: str, **how: Any) -> None:
    """Give an order with Triton's HTTP client, which lives in one thread."""
    from tritonclient import http  # type: ignore[import-untyped,import-not-found,unused-ignore]

    def run() -> None:
        with http.InferenceServerClient(f"127.0.0.1:{gateway.port}") as client:
            getattr(client, verb)(MODEL, **how)

    await asyncio.to_thread(run)


BODY: Final = request([1, 2])


async def test_unloading_a_version_under_traffic_loses_no_request(triton: tuple[Gateway, Any, Any]) -> None:
    gateway, _, grpc = triton

    async with Load(gateway.port) as load:
        await load.answered(50)
        for unload in (stock_http(gateway, "unload_model", query_params={"version": "3"}), unload_over_grpc(grpc, "3")):
            await unload
            assert states(gateway, 3) == {"UNAVAILABLE"}
            await stock_http(gateway, "load_model", query_params={"version": "3"})
        await load.answered(50)

    assert load.faults == []
    assert states(gateway, 3) == {"READY"}


async def unload_over_grpc(client: Any, version: str) -> None:
    """Triton's client cannot send a version of its own, so the message is made here."""
    body = MESSAGES["RepositoryModelUnloadRequest"](model_name=MODEL)
    body.parameters["version"].string_param = version
    call = client._channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelUnload")
    await asyncio.to_thread(call, body.SerializeToString())


def test_what_the_route_needs_stays_and_the_refusal_says_why(triton: tuple[Gateway, Any, Any]) -> None:
    gateway, *_ = triton

    weighted = order(gateway, f"{MODEL}/versions/2/unload")
    unknown = [order(gateway, path) for path in ("ghost/load", "ghost/unload", f"{MODEL}/versions/9/load")]

    assert (weighted.status, weighted.json()["code"]) == (409, "version_in_use")
    assert "gives it weight 1" in weighted.json()["error"]
    assert [answer.status for answer in unknown] == [404, 404, 404]


def test_a_version_at_weight_0_can_be_unloaded_and_is_loaded_when_it_gets_weight(
    triton: tuple[Gateway, Any, Any],
) -> None:
    gateway, http, _ = triton
    assert gateway.set_weights(MODEL, {"1": 1, "2": 0}).status == 200
    eventually(lambda: metrics.adopted(gateway) == 2, 5, "every worker follows")

    http.unload_model(MODEL, query_params={"version": "2"})

    assert states(gateway, 2) == {"UNAVAILABLE"}
    assert {gateway.ask("POST", f"/v2/models/{MODEL}/infer", BODY).status for _ in range(ASKED)} == {200}
    assert gateway.set_weights(MODEL, {"1": 0, "2": 1}).status == 200
    eventually(lambda: states(gateway, 2) == {"READY"}, 5, "the version is loaded again")


def test_a_load_that_fails_says_why_and_fails_again(triton: tuple[Gateway, Any, Any]) -> None:
    gateway, *_ = triton
    file = publish(gateway.models, 4, tagged(4)[:60])

    answers = [order(gateway, f"{MODEL}/versions/4/load") for _ in range(2)]
    file.write_bytes(tagged(4))
    repaired = order(gateway, f"{MODEL}/versions/4/load")

    assert [(answer.status, answer.json()["code"]) for answer in answers] == [(409, "load_failed")] * 2
    assert all("bad_model" in answer.json()["error"] for answer in answers)
    assert repaired.status == 200
    assert states(gateway, 4) == {"READY"}


def test_with_the_store_frozen_an_order_is_refused_in_a_sentence(triton: tuple[Gateway, Any, Any]) -> None:
    gateway, *_ = triton
    store = gateway.store_pid()

    os.kill(store, signal.SIGSTOP)
    answers = [order(gateway, f"{MODEL}/versions/3/unload"), order(gateway, f"{MODEL}/versions/3/load")]
    os.kill(store, signal.SIGCONT)

    assert [(answer.status, answer.json()["code"]) for answer in answers] == [(503, "store_unavailable")] * 2
    assert all(answer.headers["retry-after"] and answer.seconds < 1.5 for answer in answers)


def test_where_there_are_tokens_an_order_needs_an_operators(begin: Callable[..., Gateway], tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    entries = [
        {"name": role, "role": role, "sha256": hashlib.sha256(role.encode()).hexdigest()}
        for role in ("viewer", "operator")
    ]
    tokens.write_text(json.dumps({"tokens": entries}))
    gateway = begin(
        flags=(*CONTROL, "--admin-token-file", str(tokens)), route=ROUTE, versions=(1, 2, 3), has_store=False
    )
    path = f"{MODEL}/versions/3/unload"

    nobody, wrong, viewer = (
        order(gateway, path, **headers)
        for headers in ({}, *({"authorization": f"Bearer {token}"} for token in ("guess", "viewer")))
    )

    assert [answer.status for answer in (nobody, wrong, viewer)] == [401, 401, 403]
    eventually(  # 409 until every worker has loaded what no route names
        lambda: order(gateway, path, authorization="Bearer operator").status == 200, 10, "the operator's order is taken"
    )
    assert nobody.headers["www-authenticate"].startswith("Bearer")


def test_statistics_are_summed_over_the_workers_and_add_up(triton: tuple[Gateway, Any, Any]) -> None:
    gateway, http, grpc = triton
    for _ in range(ASKED):
        assert gateway.ask("POST", f"/v2/models/{MODEL}/versions/2/infer", request([1, 2, 3, 4])).status == 200

    eventually(lambda: metrics.requests(gateway)["2"] == ASKED, 3, "what was answered is counted")
    found = [http.get_inference_statistics(MODEL, "2") for _ in range(6)]

    (row,) = found[0]["model_stats"]
    spans = row["inference_stats"]
    assert all(each["model_stats"][0]["inference_stats"] == spans for each in found)
    assert (row["name"], row["version"], row["inference_count"]) == (MODEL, "2", 2 * ASKED)
    assert spans["success"]["count"] == ASKED == row["execution_count"]
    assert spans["fail"] == {"count": 0, "ns": 0}
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert 0 < sum(spans[part]["ns"] for part in parts) <= spans["success"]["ns"]
    over_grpc = grpc.get_inference_statistics(MODEL, "2").model_stats[0]
    assert over_grpc.inference_stats.success.ns == spans["success"]["ns"]
    assert over_grpc.last_inference == pytest.approx(row["last_inference"], abs=TOLD_MS)
    assert {each["version"] for each in http.get_inference_statistics()["model_stats"]} == {"1", "2", "3"}


def test_both_doors_give_the_configuration_that_clients_read(triton: tuple[Gateway, Any, Any]) -> None:
    _, http, grpc = triton

    over_http, over_grpc = http.get_model_config(MODEL, "2"), grpc.get_model_config(MODEL).config

    assert over_http["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 2]}]
    assert (over_http["name"], over_http["platform"], over_http["max_batch_size"]) == (MODEL, "onnxruntime_onnx", 0)
    assert [(each.name, each.data_type, list(each.dims)) for each in over_grpc.output] == [
        ("y", 11, [-1, 2]), ("version", 9, [-1]),
    ]  # fmt: skip
    assert (over_grpc.platform, over_grpc.backend, over_grpc.max_batch_size) == ("onnxruntime_onnx", "onnxruntime", 0)


def test_numbers_from_a_client_are_those_of_the_model_after_a_round_of_orders(triton: tuple[Gateway, Any, Any]) -> None:
    from tritonclient import http as triton_http  # type: ignore[import-untyped,import-not-found,unused-ignore]

    _, http, _ = triton
    given = triton_http.InferInput("x", [1, 2], "FP32")
    given.set_data_from_numpy(np.array([[1, 2]], np.float32))

    http.unload_model(MODEL)
    http.load_model(MODEL)

    assert http.is_model_ready(MODEL)
    assert http.infer(MODEL, [given]).as_numpy("y").tolist() == [[1, 2]]
