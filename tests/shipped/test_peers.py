"""The loads that peers share are right, and the peers get the gateway's own models; they are not needed for that."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("sklearn", reason="the rows of the benchmark come with the `convert` extra")

from load_tests import heavy, images, ourselves, peers, servers, work
from load_tests.measure import GrpcLoad, Load
from load_tests.plan import Plan, two_cores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def test_the_image_model_takes_any_number_of_images() -> None:
    session = onnxruntime.InferenceSession(images.convolution())

    [answer] = session.run(None, {"input": np.zeros((3, 3, 224, 224), np.float32)})

    assert answer.shape == (3, 10)


def test_rows_over_grpc_and_images_in_binary_reach_a_gateway(tmp_path: Path) -> None:
    models, port, grpc_port = heavy.repository(tmp_path / "models"), servers.free_port(), servers.free_port()
    command = servers.gateway_command(port, 1, tmp_path / "gateway", models=models, grpc_port=grpc_port)
    cores = two_cores()

    with servers.running("gateway", command, port, cores, tmp_path / "log") as gateway:
        rows = GrpcLoad(cores[1], "breast-cancer", grpc_port).on(gateway, 4, 1)
        if Load.of(tmp_path, cores).wrk:
            image = images.load(tmp_path, cores[1])
            images.check(port, "the gateway", image, images.file_in(models))
            sent = image.on(gateway, 2, 1)
            assert (sent.errors, sent.requests > 10) == (0, True)

    assert (rows.errors, rows.requests > 10, rows.cpu_us > 0) == (0, True, True)


def test_a_full_route_sends_users_to_all_three_versions_whose_answers_are_the_same(tmp_path: Path) -> None:
    port, models = servers.free_port(), ourselves.copies(tmp_path / "models")
    route = json.dumps(ourselves.FULL_ROUTE)
    command = servers.gateway_command(port, 1, tmp_path / "gateway", models=models, route=route)
    with servers.running("gateway", command, port, two_cores(), tmp_path / "log"):
        work.check(port)
        answered = {version_for(port, f"user-{number}") for number in range(50)}

    assert answered == set(ourselves.VERSIONS)


def version_for(port: int, user: str) -> str | None:
    """Return which version answers *user*."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", work.PATH, work.items()[0].body, {"x-user-id": user})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.getheader("x-gateway-version")


@pytest.mark.parametrize("maker", ["wrk", "generator"])
async def test_users_take_turns(tmp_path: Path, maker: str) -> None:
    if maker == "wrk" and not shutil.which("wrk"):
        pytest.skip("wrk is not installed")
    seen: set[bytes] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while head := await reader.readuntil(b"}"):
                seen.add(head.lower().partition(b"x-user-id: ")[2].partition(b"\r")[0])
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    body = tmp_path / "body.json"
    body.write_bytes(b"{}")
    load = replace(Load.of(body, two_cores()[1:], users=3), wrk=shutil.which(maker))
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        server = servers.Server("fake", listener.sockets[0].getsockname()[1], os.getpid(), 0.0)
        found = await asyncio.to_thread(load.on, server, 1, 1)

    assert found.requests > 3
    assert seen == {b"user-1", b"user-2", b"user-3"}


def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str]]]:
    """Return where commands and ready paths are noted instead of being started."""
    noted: list[tuple[list[str], list[str]]] = []

    def running(name: str, command: list[str], port: int, cores: object, log: Path, ready: Sequence[str] = ()) -> None:
        noted.append((command, list(ready)))

    monkeypatch.setattr(servers, "running", running)
    return noted


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(frozenset(), 1, 1, None, None, tmp_path, (0, 1))


def test_pytriton_serves_both_models_and_is_waited_for_until_both_are_ready(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = started(monkeypatch)

    peers.pytriton(plan, "python", plan.directory / "models")

    [(command, ready)] = noted
    assert [command[3], command[6]] == ["breast-cancer", "image"]
    assert command[7] == str(images.file_in(plan.directory / "models"))
    assert ready == ["/v2/models/breast-cancer/ready", "/v2/models/image/ready"]


def test_mlserver_is_told_the_row_s_model_and_ports_beside_each_other(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch)

    peers.mlserver(plan, "python", plan.directory / "models")

    settings = json.loads((plan.directory / "mlserver" / "settings.json").read_text())
    model = json.loads((plan.directory / "mlserver" / work.MODEL / "model-settings.json").read_text())
    assert settings["grpc_port"] == settings["http_port"] + 1
    assert model["parameters"]["uri"] == str(peers.file_in(plan.directory / "models"))
