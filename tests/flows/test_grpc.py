"""gRPC against a real gateway: the clients that people have, on a port that all workers share."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np
import pytest

from gateway.processes.sockets import open_sockets
from gateway.rpc.descriptors import HEALTH_MESSAGES, MESSAGES
from tests.flows import metrics
from tests.flows.conftest import SEEDED_SECONDS, close_all, prepare, seeded
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.flows.gateway_process import Gateway

INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
STICKY: Final = 'split: {"1": 50, "2": 50}\nassign: {by: "header:x-user-id"}\nbaseline: "1"'
SERVING: Final = 1
CALLERS: Final = 4
SHARED: Final = (("grpc.use_local_subchannel_pool", 1),)
"""Each channel has a connection of its own, so that the kernel spreads them over the workers."""


@pytest.fixture
def served(begin: Callable[..., Gateway]) -> tuple[Gateway, str]:
    """A gateway with two workers, and the address of its gRPC port."""
    port = free_port()
    return begin(flags=("--grpc-port", str(port)), route=STICKY), f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    """The same for those who only ask."""
    port = free_port()
    gateway = prepare(tmp_path_factory.mktemp("shared"), flags=("--grpc-port", str(port)), route=STICKY)
    try:
        gateway.start()
        eventually(lambda: seeded(gateway), SEEDED_SECONDS, "every route is in the store and on every worker")
        yield gateway, f"127.0.0.1:{port}"
    finally:
        close_all([gateway])


def free_port() -> int:
    [sock] = open_sockets("127.0.0.1", 0, 1, "--grpc-port")
    with sock:
        return int(sock.getsockname()[1])


def message() -> bytes:
    made = MESSAGES["ModelInferRequest"](model_name=MODEL)
    made.inputs.add(name="x", datatype="FP32", shape=[1, 2]).contents.fp32_contents.extend([1.5, 2.5])
    return bytes(made.SerializeToString())


def infer(channel: Any, user: str) -> Any:
    """Return the answer to one user."""
    answer = channel.unary_unary(INFER)(message(), metadata=(("x-user-id", user),), timeout=10)
    return MESSAGES["ModelInferResponse"].FromString(answer)


def test_a_user_gets_the_same_version_and_numbers_on_every_worker_and_over_http(shared: tuple[Gateway, str]) -> None:
    gateway, address = shared
    channels = [grpc.insecure_channel(address, SHARED) for _ in range(6)]
    before, seen = counted(gateway), set()

    for number in range(20):
        user = f"user-{number}"
        over_http = gateway.ask("POST", f"/v2/models/{MODEL}/infer", request([1.5, 2.5]), {"x-user-id": user}).json()
        for channel in channels:
            answer = infer(channel, user)
            numbers, version = answer.outputs
            assert answer.model_version == over_http["model_version"]
            assert list(numbers.contents.fp32_contents) == over_http["outputs"][0]["data"]
            assert list(version.contents.int64_contents) == over_http["outputs"][1]["data"]
        seen.add(over_http["model_version"])

    for channel in channels:
        channel.close()
    assert seen == {"1", "2"}
    eventually(lambda: counted(gateway) - before == 20 * 7, 5, "every request of both protocols is counted")


def counted(gateway: Gateway) -> float:
    return sum(metrics.scrape(gateway).get("gateway_requests_total", {}).values())


def test_tritonclient_is_served(shared: tuple[Gateway, str]) -> None:
    triton = pytest.importorskip("tritonclient.grpc", reason="the extra `peers` is not installed")
    _, address = shared
    client = triton.InferenceServerClient(address)
    given = triton.InferInput("x", [2, 2], "FP32")
    given.set_data_from_numpy(np.array([[1, 2], [3, 4]], np.float32))

    answer = client.infer(MODEL, [given], model_version="2", request_id="mine", timeout=5_000_000)

    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL, "2")
    assert list(client.get_model_metadata(MODEL).versions) == ["1", "2"]
    assert {row.state for row in client.get_model_repository_index().models} == {"READY"}
    assert answer.as_numpy("y").tolist() == [[1, 2], [3, 4]]
    assert answer.as_numpy("version").tolist() == [2, 2]
    assert (answer.get_response().id, answer.get_response().model_version) == ("mine", "2")
    with pytest.raises(triton.InferenceServerException, match="NOT_FOUND"):
        client.infer("ghost", [given])
    client.close()


def test_a_probe_of_kubernetes_is_answered(shared: tuple[Gateway, str]) -> None:
    assert health(int(shared[1].rsplit(":", 1)[1])) == SERVING


def test_the_banner_names_the_port(shared: tuple[Gateway, str]) -> None:
    gateway, address = shared

    assert f"gRPC       {address}\n" in gateway.stdout()


def test_a_port_of_0_opens_nothing(begin: Callable[..., Gateway]) -> None:
    gateway = begin(flags=("--grpc-port", "0"))

    assert "gRPC" not in gateway.stdout()


class Callers:
    """They ask again with every answer, each on a connection of its own, until they may no longer or are failed."""

    def __init__(self, address: str, may_ask: Callable[[], bool] = lambda: True) -> None:
        self._address = address
        self._may_ask = may_ask
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._keep_asking) for _ in range(CALLERS)]
        self.answers = 0
        self.failures: list[tuple[grpc.StatusCode, str]] = []

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        self.wait_for(50)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(20)

    def wait_for(self, more: int) -> None:
        """Return when so many more answers came."""
        wanted = self.answers + more
        eventually(lambda: self.answers >= wanted or self.failures, 20, f"{more} more answers")

    def _keep_asking(self) -> None:
        with grpc.insecure_channel(self._address, SHARED) as channel:
            while self._may_ask() and not self._ended.is_set():
                try:
                    infer(channel, "user-1")
                    self.answers += 1
                except grpc.RpcError as exc:
                    self.failures.append((exc.code(), exc.details()))
                    return


def test_workers_are_rolled_and_no_busy_caller_s_call_fails(served: tuple[Gateway, str]) -> None:
    gateway, address = served

    with Callers(address) as callers:
        for _ in range(2):
            before = set(gateway.worker_pids())
            gateway.signal(signal.SIGHUP)
            eventually(lambda: is_rolled(gateway, before), 30, "every worker is another one")  # noqa: B023 - asked here
            callers.wait_for(50)

    assert callers.failures == []


def is_rolled(gateway: Gateway, before: set[int]) -> bool:
    pids = gateway.worker_pids()
    return len(pids) == gateway.workers and not before & set(pids)


def test_a_stop_fails_no_call_that_was_begun(served: tuple[Gateway, str]) -> None:
    gateway, address = served

    with Callers(address) as callers:
        code = gateway.stop()

    assert code == 0
    assert {status for status, _ in callers.failures} == {grpc.StatusCode.UNAVAILABLE}
    assert all("connect" in details for _, details in callers.failures)  # what was asked when nobody listened any more
    with socket.create_server(("127.0.0.1", int(address.rsplit(":", 1)[1]))):
        pass  # the port is free again


def test_a_stop_fails_nobody_who_honours_the_health_check(begin: Callable[..., Gateway]) -> None:
    port = free_port()
    gateway = begin(flags=("--grpc-port", str(port), "--drain-delay", "4s"), route=STICKY)
    eventually(lambda: listens(port), 5, "the gRPC port listens, which it does a moment after HTTP's")
    is_serving = threading.Event()
    is_serving.set()

    with Callers(f"127.0.0.1:{port}", is_serving.is_set) as callers:
        gateway.signal(signal.SIGTERM)
        eventually(lambda: health(port) != SERVING, 3.5, "the health check says so before the stop")
        is_serving.clear()
        code = gateway.wait()

    assert code == 0
    assert callers.failures == []


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def health(port: int) -> int:
    """Return the status that a probe on a connection of its own is told."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", SHARED) as channel:
        answer = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
    return int(HEALTH_MESSAGES["HealthCheckResponse"].FromString(answer).status)


def test_a_killed_worker_is_replaced_on_the_port(served: tuple[Gateway, str]) -> None:
    gateway, address = served
    before = gateway.worker_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    def answers() -> bool:
        with grpc.insecure_channel(address, SHARED) as channel:
            try:
                return bool(infer(channel, "user-1").model_name == MODEL)
            except grpc.RpcError:
                return False

    eventually(answers, 15, "a new worker answers")
    assert set(before).isdisjoint(gateway.worker_pids())
