"""Kept inputs and their labels over real workers, through every door; and feedback that nobody should be hurt by."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import struct
import threading
import time
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import grpc

from gateway.rpc.descriptors import MESSAGES
from gateway.rpc.feedback import MESSAGES as FEEDBACK_MESSAGES
from gateway.rpc.feedback import METHOD, SERVICE
from gateway.store.redis_store import RedisRouteStore
from tests.flows.doors import free_port
from tests.flows.models import request
from tests.flows.test_rollouts import store_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.labelled import Labelled
    from tests.flows.gateway_process import Answer, Gateway

FEEDBACK: Final = "/v2/models/echo/feedback"
ROUTE: Final = 'split: {"1": 1}\nfeedback: {inputs: all, redact: {"x[1]": {constant: 7}}}'
DOORS: Final = ("json", "binary", "v1", "grpc")
INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
HELD_SECONDS: Final = 1.2
"""How long an answer may take while the store is frozen."""
FLOODED_SECONDS: Final = 0.5
"""How long half of the requests may take at most while large bodies of feedback come from all sides."""


def post(gateway: Gateway, path: str, body: bytes, **headers: str) -> int:
    """Send bytes, and return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=15)
    try:
        connection.request("POST", path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def predict(gateway: Gateway, channel: grpc.Channel, door: str) -> None:
    """Ask for (1, 4242) through one *door*, under its name."""
    if door == "grpc":
        made = MESSAGES["ModelInferRequest"](model_name="echo", id=door)
        made.inputs.add(name="x", datatype="FP32", shape=[1, 2]).contents.fp32_contents.extend([1, 4242])
        channel.unary_unary(INFER)(made.SerializeToString(), timeout=15)
        return
    if door == "v1":
        body, path = json.dumps({"instances": [[1, 4242]]}).encode(), "/v1/models/echo:predict"
        status = post(gateway, path, body, x_request_id=door, content_type="application/json")
    elif door == "json":
        body = json.dumps({"id": door, **request([1.0, 4242.0])}).encode()
        status = post(gateway, "/v2/models/echo/infer", body, content_type="application/json")
    else:
        given = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
        head = json.dumps({"id": door, "inputs": [given]}).encode()
        status = post(
            gateway, "/v2/models/echo/infer", head + struct.pack("<2f", 1, 4242),
            content_type="application/octet-stream", inference_header_content_length=str(len(head)),
        )  # fmt: skip
    assert status == 200


def send(channel: grpc.Channel, *items: dict[str, Any], model: str = "echo") -> Any:
    """Send feedback over gRPC, and return the results, or the code that refuses all of it."""
    body = FEEDBACK_MESSAGES["SendRequest"](model_name=model, items=items).SerializeToString()
    try:
        answer = channel.unary_unary(f"/{SERVICE}/{METHOD}")(body, timeout=15)
    except grpc.RpcError as failed:
        return failed.code()
    return [each.status for each in FEEDBACK_MESSAGES["SendResponse"].FromString(answer).results]


def examples(gateway: Gateway) -> Sequence[Labelled]:
    """Return the labelled answers as a learner reads them."""

    async def read() -> Sequence[Labelled]:
        store = RedisRouteStore(store_url(gateway))
        try:
            return await store.labelled("echo").read("learner", "one", 1_000, 0)
        finally:
            await store.close()

    return asyncio.run(read())


def test_a_label_makes_one_example_of_an_answer_through_whichever_door_both_came(
    begin: Callable[..., Gateway],
) -> None:
    port = free_port()
    gateway = begin(route=ROUTE, flags=("--grpc-port", str(port)))
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    for door in DOORS:
        predict(gateway, channel, door)

    over_http = [gateway.ask("POST", FEEDBACK, {"id": door, "label": 1}).json()["status"] for door in DOORS[:2]]
    over_grpc = [send(channel, {"id": door, "label": {"rows": ["1"]}}) for door in DOORS[2:]]
    again = send(channel, *({"id": door, "label": {"rows": ["1"]}} for door in (*DOORS, "ghost")))
    other = send(channel, {"id": "json", "value": {"rows": [2]}})
    rewarded = gateway.ask("POST", FEEDBACK, {"id": "grpc", "reward": 0.5}).json()["status"]
    channel.close()

    assert (over_http, over_grpc, rewarded) == (["counted"] * 2, [["counted"]] * 2, "counted")
    assert again == ["duplicate"] * 4 + ["refused"]
    assert other is grpc.StatusCode.FAILED_PRECONDITION
    found = examples(gateway)
    assert [(each.id, each.kind) for each in found] == [*((door, "label") for door in DOORS), ("grpc", "reward")]
    hidden = {"x": {"datatype": "FP32", "shape": [1, 2], "data": [1.0, 7.0]}}
    assert all((each.inputs, each.version, each.predicted) == (hidden, 1, ("1",)) for each in found)


NONSENSE: Final[tuple[object, ...]] = (
    {}, [], "label", 3, None, {"id": "a"}, {"label": 1}, {"id": "a", "label": 1, "reward": 1}, {"id": 5, "label": 1},
    {"id": "", "label": 1}, {"id": "a\x00b", "label": 1}, {"id": "i" * 257, "label": 1}, {"id": "a", "label": {}},
    {"id": "a", "label": None}, {"id": "a", "label": []}, {"id": "a", "label": [[1]]}, {"id": "a", "label": [1] * 101},
    {"id": "a", "label": 1 << 70}, {"id": "a", "label": "c" * 300}, {"id": "a", "value": "one"},
    {"id": "a", "value": 1e300}, {"id": "a", "reward": [1]}, {"id": "a", "label": 1, "model": "echo"},
    {"feedback": []}, {"feedback": {}}, {"feedback": [{"id": "a", "label": 1}, 7]},
    {"feedback": [{"id": "a", "label": 1}] * 1_001}, {"id": "a", "label": [1, 2]},
)  # fmt: skip


def test_feedback_that_is_wrong_or_floods_or_finds_no_store_is_refused_and_requests_are_answered(
    begin: Callable[..., Gateway],
) -> None:
    port = free_port()
    gateway = begin(route=ROUTE, flags=("--grpc-port", str(port), "--workers", "1"))
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    assert gateway.ask("POST", "/v2/models/echo/infer", {"id": "a", **request([1, 2])}).status == 200

    refused = [(given, gateway.ask("POST", FEEDBACK, given)) for given in NONSENSE]
    large = post(gateway, FEEDBACK, b'{"feedback":[' + b" " * (1 << 20) + b"]}", content_type="application/json")
    broken = [post(gateway, FEEDBACK, body, content_type="application/json") for body in (b"", b"{", b"\xff")]
    elsewhere = [
        gateway.ask("POST", f"/v2/models/{model}/feedback", {"id": "a", "label": 1}).status
        for model in ("ghost", "%00")
    ]

    assert [given for given, answer in refused if answer.status != 400] == []
    assert all(answer.json()["code"] in {"invalid_feedback", "invalid_json"} for _, answer in refused)
    assert (large, broken, elsewhere) == (413, [400] * 3, [404] * 2)
    assert examples(gateway) == []

    median_seconds, statuses = flood(gateway)
    assert statuses <= {202, 503}
    assert median_seconds < FLOODED_SECONDS

    os.kill(gateway.store_pid(), signal.SIGSTOP)
    try:
        began = time.monotonic()
        over_grpc = send(channel, {"id": "a", "label": {"rows": ["1"]}})
        held = time.monotonic() - began
        over_http = gateway.ask("POST", FEEDBACK, {"id": "a", "label": 1})
        served = gateway.ask("POST", "/v2/models/echo/infer", {"id": "b", **request([1, 2])})
    finally:
        os.kill(gateway.store_pid(), signal.SIGCONT)
        channel.close()

    assert over_grpc is grpc.StatusCode.UNAVAILABLE
    assert held < HELD_SECONDS
    assert over_http.status == 503
    assert "store" in over_http.json()["error"]
    assert over_http.seconds < HELD_SECONDS
    assert (served.status, served.seconds < 1) == (200, True)


def flood(gateway: Gateway) -> tuple[float, set[int]]:
    """Send large bodies from many sides; return the median time of requests meanwhile, and all statuses of feedback."""
    items = {"feedback": [{"id": f"ghost-{n}", "label": 1} for n in range(1_000)]}
    answers: list[Answer] = []
    callers = [
        threading.Thread(target=lambda: answers.extend(gateway.ask("POST", FEEDBACK, items) for _ in range(1)))
        for _ in range(24)
    ]
    for caller in callers:
        caller.start()
    taken = []
    while any(caller.is_alive() for caller in callers):
        asked = gateway.ask("POST", "/v2/models/echo/infer", request([1, 2]))
        assert asked.status == 200
        taken.append(asked.seconds)
    return median(taken), {answer.status for answer in answers}
