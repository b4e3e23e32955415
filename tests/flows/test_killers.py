"""Requests and models that would hurt a worker: each is sent twenty times, and then everything is healthy."""

from __future__ import annotations

import concurrent.futures
import http.client
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.engine import killers
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, publish, repository, request, route_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.flows.gateway_process import Answer, Gateway

TIMES: Final = 20
HEALTHY: Final = f"/v2/models/{MODEL}/infer"
SMALLEST: Final = -(2**63)

DEADLINE_MS: Final = 400
LATE_SECONDS: Final = 0.05
NOISE_SECONDS: Final = 0.25
"""What a busy test machine adds to an answer's time."""


def integers(*pair: int) -> dict[str, Any]:
    """Return the body of a request for x / z."""
    return {
        "inputs": [
            {"name": name, "datatype": "INT64", "shape": [1, 1], "data": [number]}
            for name, number in zip("xz", pair, strict=True)
        ]
    }


def ask(gateway: Gateway, path: str, body: object, headers: Mapping[str, str] | None = None) -> Answer | None:
    """Return the answer; None where the worker died over it."""
    try:
        return gateway.ask("POST", path, body, headers)
    except (OSError, http.client.HTTPException):
        return None


def event(gateway: Gateway, model: str, version: str, name: str) -> float:
    return metrics.gauge(gateway, "gateway_version_events_total", model=model, version=version, event=name) or 0


def assert_healthy(gateway: Gateway) -> None:
    """Everything else answers, on every worker."""
    assert {gateway.ask("POST", HEALTHY, request([1, 2])).status for _ in range(TIMES)} == {200}
    assert len(gateway.worker_pids()) == gateway.workers


def test_an_input_that_crashes_the_process_does_so_twice_and_is_then_refused(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    models = repository(tmp_path / "models", [1, 2])
    publish(models, 1, killers.divided(), model="divide")
    gateway = begin(models=models)
    before, seen = set(gateway.worker_pids()), set(gateway.worker_pids())

    answers = []
    for _ in range(TIMES):
        answers.append(ask(gateway, "/v2/models/divide/infer", integers(SMALLEST, -1)))
        seen |= set(gateway.worker_pids())
    eventually(lambda: gateway.is_ready() and len(gateway.worker_pids()) == 2, 10, "the workers are back")
    eventually(lambda: event(gateway, "divide", "1", "crashed") >= 2, 5, "both crashes are counted")

    refused = [answer for answer in answers if answer is not None]
    assert len(answers) - len(refused) == 2
    assert {answer.status for answer in refused} == {503}
    assert {answer.json()["code"] for answer in refused} == {"quarantined"}
    assert len(seen | set(gateway.worker_pids())) <= len(before) + 2
    assert event(gateway, "divide", "1", "quarantined") == len(refused)
    good = gateway.ask("POST", "/v2/models/divide/infer", integers(-9, -1))
    assert good.json()["outputs"][0]["data"] == [9]
    assert gateway.ask("POST", "/v2/models/divide/infer", integers(1, 0)).status == 500
    assert_healthy(gateway)


def test_a_version_that_can_crash_says_so_in_the_list_of_versions(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    models = repository(tmp_path / "models", [1, 2])
    publish(models, 1, killers.divided(), model="divide")
    gateway = begin(models=models)

    listed = gateway.ask_admin("GET", "/api/v1/models").json()

    assert "integer division by a value from the input" in str(listed)


def test_an_endless_run_ends_at_the_deadline_and_costs_no_worker(begin: Callable[..., Gateway], tmp_path: Path) -> None:
    models = repository(tmp_path / "models", [1, 2])
    publish(models, 1, killers.endless(), model="endless")
    gateway = begin(models=models)
    pids = gateway.worker_pids()
    path, body = "/v2/models/endless/infer", killers.trips_request(10**12)

    answers = [ask(gateway, path, body, {"x-request-timeout-ms": str(DEADLINE_MS)}) for _ in range(TIMES)]

    assert all(answer is not None and answer.status == 504 for answer in answers), answers
    times = sorted(answer.seconds for answer in answers if answer is not None)
    assert times[len(times) // 2] < DEADLINE_MS / 1000 + LATE_SECONDS
    assert times[-1] < DEADLINE_MS / 1000 + NOISE_SECONDS
    assert gateway.worker_pids() == pids
    assert event(gateway, "endless", "1", "stopped") >= TIMES
    assert gateway.ask("POST", path, killers.trips_request(3)).status == 200
    assert_healthy(gateway)


def test_an_endless_canary_is_answered_by_the_baseline_inside_the_deadline(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    models = repository(tmp_path / "models", [1, 2])
    publish(models, 1, killers.counted(), model="endless")
    publish(models, 2, killers.endless(), model="endless")
    routes = route_file(tmp_path / "routes", 'split: {"2": 1}\nbaseline: "1"', model="endless")
    gateway = begin(models=models, routes=routes)
    pids = gateway.worker_pids()
    body, headers = killers.trips_request(10**12), {"x-request-timeout-ms": str(DEADLINE_MS)}

    answers = [gateway.ask("POST", "/v2/models/endless/infer", body, headers) for _ in range(TIMES)]

    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["x-gateway-fallback-from"] for answer in answers} == {"2"}
    assert gateway.worker_pids() == pids
    fallbacks = metrics.gauge(gateway, "gateway_fallbacks_total", model="endless", version="2", reason="timeout")
    assert fallbacks == TIMES
    assert_healthy(gateway)


@pytest.mark.long
def test_behind_a_run_that_cannot_be_stopped_nobody_waits(begin: Callable[..., Gateway], tmp_path: Path) -> None:
    models = repository(tmp_path / "models", [1, 2])
    publish(models, 1, killers.unstoppable(), model="huge")
    gateway = begin(models=models, workers=1)
    pids = gateway.worker_pids()
    path, headers = "/v2/models/huge/infer", {"x-request-timeout-ms": str(DEADLINE_MS)}
    assert gateway.ask("POST", path, killers.width_request(400)).status == 200
    for width in (2500, 3500, 4500):  # until one takes longer than the loop bears: how long depends on the machine
        if not event(gateway, "huge", "1", "stopped"):
            gateway.ask("POST", path, killers.width_request(width), {"x-request-timeout-ms": "9000"})
    assert event(gateway, "huge", "1", "stopped") == 1

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(gateway.ask, "POST", path, killers.width_request(4500), headers)
        eventually(lambda: event(gateway, "huge", "1", "stuck") >= 1, 30, "the version is stuck")
        began = time.monotonic()
        second = gateway.ask("POST", path, killers.width_request(2), headers)
        waited = time.monotonic() - began
        assert gateway.ask("POST", HEALTHY, request([1, 2])).status == 200

    assert (first.result().status, second.status) == (504, 503)
    assert second.json()["code"] == "version_stuck"
    assert waited < DEADLINE_MS / 1000
    eventually(lambda: gateway.ask("POST", path, killers.width_request(2)).status == 200, 60, "the run ended")
    assert gateway.worker_pids() == pids
    assert_healthy(gateway)


def test_an_index_out_of_range_is_the_callers_fault(begin: Callable[..., Gateway], tmp_path: Path) -> None:
    models = repository(tmp_path / "models", [1, 2])
    for version in (1, 2):
        publish(models, version, killers.lookup(), model="table")
    routes = route_file(tmp_path / "routes", 'split: {"2": 1}\nbaseline: "1"', model="table")
    gateway = begin(models=models, routes=routes)
    pids = gateway.worker_pids()
    body = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [99]}]}

    paths = ["/v2/models/table/infer", "/v2/models/table/versions/2/infer"]
    answers = [gateway.ask("POST", path, body) for path in paths for _ in range(TIMES)]

    assert {(answer.status, answer.json()["code"]) for answer in answers} == {(400, "model_rejected_input")}
    assert gateway.worker_pids() == pids
    assert metrics.gauge(gateway, "gateway_fallbacks_total", model="table", version="2", reason="error") == 0
    assert_healthy(gateway)
