"""Rows of hostile input through every door of a real gateway, and how each is counted."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from tests.engine import killers
from tests.engine.graphs import FLOAT, INT64, graph, identity, node, value, weights
from tests.flows import metrics
from tests.flows.conftest import close_all, prepare, seeded
from tests.flows.doors import DOORS, Caller, free_port
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, publish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.flows.gateway_process import Gateway

ROWS: Final = 100_000
ROW: Final = np.ones((1, 2), np.float32)
FOREVER: Final = np.array([10**12], np.int64)
FAILED: Final = 3
HELD_MS: Final = 10_000


def outer() -> bytes:
    """y = the outer product of x with itself, and the graph says so."""
    return graph(
        node("Unsqueeze", ["x", "one"], ["column"]),
        node("Mul", ["column", "x"], ["y"]),
        inputs=[value("x", FLOAT, ["n"])],
        outputs=[value("y", FLOAT, ["n", "n"])],
        tensors=[weights("one", [1], [1], INT64)],
    )


def square() -> bytes:
    """y = zeros, x in both directions, which no graph can say."""
    return graph(
        node("Concat", ["x", "x"], ["shape"], axis=0),
        node("ConstantOfShape", ["shape"], ["y"], value=weights("zero", [0.0], [1])),
        inputs=[value("x", INT64, [1])],
        outputs=[value("y", FLOAT, [None, None])],
    )


def width(size: int) -> Any:
    return np.array([size], np.int64)


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """One worker with a queue of one request, over models that each hurt in their own way."""
    port = free_port()
    flags = ("--grpc-port", str(port), "--max-queue", "1", "--limits", "output-bytes=1m")
    gateway = prepare(tmp_path_factory.mktemp("doors"), workers=1, flags=flags)
    published = publish(gateway.models, 1, outer(), model="outer")
    published.with_name("metadata.yaml").write_text(f"serving: {{max_rows: {ROWS}}}")
    for name, content in {"square": square(), "endless": killers.endless(), "fixed": identity(FLOAT, [1, 2])}.items():
        file = publish(gateway.models, 1, content, model=name)
    file.with_name("metadata.yaml").write_text("serving: {latency_target_ms: 5000}")  # of the last, the fixed one
    publish(gateway.models, 2, killers.counted(), model="endless")
    publish(gateway.models, FAILED, b"no model")
    route = gateway.routes / "endless.yaml"
    route.parent.mkdir(parents=True, exist_ok=True)
    route.write_text('model: endless\nsplit: {"2": 1}\nbaseline: "2"\n')
    try:
        gateway.start()
        eventually(lambda: seeded(gateway), 5, "every route is in the store and on the worker")
        yield Caller(gateway, port)
    finally:
        close_all([gateway])


def counted(caller: Caller, door: str, model: str, tensor: Any, **how: Any) -> tuple[int, str, tuple[str, str]]:
    """Return the status of one request, the text, and the version and the outcome that it, alone, was counted under."""
    before = metrics.all_requests(caller.gateway, model=model)
    status, text = caller.ask(door, model, tensor, **how)
    eventually(lambda: metrics.all_requests(caller.gateway, model=model) != before, 3, "the request is counted")
    [(kind, times)] = (metrics.all_requests(caller.gateway, model=model) - before).items()
    assert times == 1
    return status, text, kind


@pytest.mark.parametrize("door", DOORS)
def test_an_outer_product_over_the_limit_is_refused_before_it_is_made(caller: Caller, door: str) -> None:
    status, text, kind = counted(caller, door, "outer", np.ones(ROWS, np.float32))

    assert (status, kind) == (413, ("1", "client_error"))
    assert "would answer this request with 40000000000 bytes" in text
    assert caller.ask(door, "outer", np.ones(10, np.float32))[0] == 200


@pytest.mark.parametrize("door", DOORS)
def test_an_answer_that_turns_out_too_large_is_refused_and_the_model_is_not_blamed(caller: Caller, door: str) -> None:
    status, text, kind = counted(caller, door, "square", width(1000))

    assert (status, kind) == (413, ("1", "client_error"))
    assert "output-bytes" in text


@pytest.mark.parametrize("door", DOORS)
def test_memory_that_the_runtime_does_not_get_is_the_model_s_fault_and_the_worker_lives(
    caller: Caller, door: str
) -> None:
    [worker] = caller.gateway.worker_pids()

    status, _, kind = counted(caller, door, "square", width(10**7))

    assert (status, kind) == (500, ("1", "model_error"))
    assert caller.ask(door, "square", width(3))[0] == 200
    assert caller.gateway.worker_pids() == [worker]


@pytest.mark.parametrize("door", DOORS)
def test_a_request_that_is_answered_is_ok(caller: Caller, door: str) -> None:
    assert counted(caller, door, MODEL, ROW, version=2)[::2] == (200, ("2", "ok"))


@pytest.mark.parametrize("door", DOORS)
def test_another_batch_than_the_fixed_one_is_the_caller_s_fault(caller: Caller, door: str) -> None:
    status, text, kind = counted(caller, door, "fixed", np.ones((2, 2), np.float32))

    assert (status, kind) == (400, ("1", "client_error"))
    assert "[2, 2]" in text
    assert counted(caller, door, "fixed", ROW)[::2] == (200, ("1", "ok"))


def test_how_many_may_wait_for_a_version_with_a_latency_target_is_in_the_metrics(caller: Caller) -> None:
    assert caller.ask(DOORS[0], "fixed", ROW)[0] == 200

    labels = (("model", "fixed"), ("version", "1"))
    eventually(
        lambda: metrics.scrape(caller.gateway).get("gateway_version_queue_limit") == {labels: 1.0},
        5, "the limit of the one version that has a target is told",
    )  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_a_deadline_of_a_millisecond_is_a_timeout(caller: Caller, door: str) -> None:
    began = time.monotonic()

    assert counted(caller, door, "endless", FOREVER, version=1, timeout_ms=1)[::2] == (504, ("1", "timeout"))
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("door", DOORS)
def test_a_failed_version_by_number_is_our_fault_and_says_why(caller: Caller, door: str) -> None:
    eventually(lambda: state(caller.gateway, FAILED) == "UNAVAILABLE", 5, "the version has failed")

    status, text, kind = counted(caller, door, MODEL, ROW, version=FAILED)

    assert (status, kind) == (503, ("_none", "gateway_error"))
    assert f"version {FAILED} of model '{MODEL}' is FAILED" in text


def state(gateway: Gateway, version: int, model: str = MODEL) -> str | None:
    row = gateway.index().get((model, str(version)))
    return row["state"] if row else None


def test_a_version_that_is_being_loaded_says_so_by_number(caller: Caller) -> None:
    number = 10
    file = publish(caller.gateway.models, number)
    is_asked = threading.Event()

    def keep_writing() -> None:
        while not is_asked.wait(0.05):
            file.touch()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        eventually(lambda: state(caller.gateway, number) == "LOADING", 5, "the version is seen")
        found = [counted(caller, door, MODEL, ROW, version=number) for door in DOORS]
    finally:
        is_asked.set()
        writer.join()

    for status, text, kind in found:
        assert (status, kind) == (503, ("_none", "gateway_error"))
        assert "is LOADING" in text
    for door in DOORS:
        eventually(lambda: caller.ask(door, MODEL, ROW, version=number)[0] == 200, 10, "it is loaded")  # noqa: B023 - asked here


@contextlib.contextmanager
def holding(caller: Caller, *, requests: int) -> Iterator[None]:
    """So many requests are at version 1 of the endless model all the while: the first runs, the others wait for it."""
    threads = [
        threading.Thread(
            target=caller.ask, args=("v2", "endless", FOREVER), kwargs={"version": 1, "timeout_ms": HELD_MS}
        )
        for _ in range(requests)
    ]
    caller.ask("v2", "endless", FOREVER, version=1, timeout_ms=1)  # from then on it runs on a thread
    try:
        for thread in threads:
            thread.start()
            time.sleep(0.3)  # a request that comes at once with another would share its run
        yield
        assert all(thread.is_alive() for thread in threads)
    finally:
        for thread in threads:
            thread.join()


def test_a_full_queue_is_an_overload_through_every_door(caller: Caller) -> None:
    with holding(caller, requests=2):
        found = {door: counted(caller, door, "endless", FOREVER, version=1, timeout_ms=500)[::2] for door in DOORS}

    assert found == dict.fromkeys(DOORS, (503, ("1", "overload")))


def test_a_version_that_drains_says_so_by_number_and_is_our_fault(caller: Caller) -> None:
    gateway = caller.gateway
    with holding(caller, requests=1):
        assert gateway.ask_admin("POST", "/api/v1/models/endless/versions/1/unload").status in {200, 202}
        eventually(lambda: state(gateway, 1, "endless") == "UNLOADING", 4, "the version drains")
        found = [counted(caller, door, "endless", FOREVER, version=1) for door in DOORS]

    for status, text, kind in found:
        assert (status, kind) == (503, ("_none", "gateway_error"))
        assert "is UNLOADING" in text
