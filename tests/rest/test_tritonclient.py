"""The Triton HTTP client over a real connection: binary tensors, compression, and what it reads of an error."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.limits import DEFAULT
from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from gateway.processes.http_server import HttpServer
from gateway.rest.shortcut import shortcut
from tests.rest.door import FakeDoor
from tests.rest.wire import DATATYPE
from tests.serving.fakes import compiled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from gateway.ports.engine import Tensor

pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

VALUES: dict[str, Tensor] = {
    "numbers": np.arange(1200, dtype=np.float32).reshape(2, 600),
    "halves": np.array([[0.5], [1.5]], np.float16),
    "texts": np.array([["ä"], ["b\0"]], object),
    "flags": np.array([[True], [False]]),
}
MODEL = "echo"


@contextlib.asynccontextmanager
async def served(specs: Iterable[TensorSpec]) -> AsyncIterator[str]:
    """Start a worker whose one model answers what it is sent, and give its address."""
    door = FakeDoor()
    specs = tuple(specs)
    door.floor.held.hold(
        MODEL, 1, lambda feeds: [feeds[spec.name] for spec in specs], signature=Signature(specs, specs)
    )
    door.adoption.want(Mark("a", 1, MODEL), compiled({"1": 1}, model=MODEL))
    listening = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(door._app, listening, shortcut(door.inference, DEFAULT))
    running = asyncio.create_task(server.run())
    yield f"127.0.0.1:{listening.getsockname()[1]}"
    server.stop()
    await running


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """The worker of a model with every kind of VALUES."""
    specs = [TensorSpec(name, DATATYPE[value.dtype], (-1, value.shape[1])) for name, value in VALUES.items()]
    async with served(specs) as address:
        yield address


async def in_a_thread(address: str, ask: Callable[[Any, Any], Any]) -> Any:
    """Return what *ask* says of a client; it blocks, so it runs beside the server's loop."""
    from tritonclient import http  # type: ignore[import-untyped,import-not-found,unused-ignore]

    def run() -> Any:
        client = http.InferenceServerClient(address)
        try:
            return ask(http, client)
        finally:
            client.close()

    return await asyncio.to_thread(run)


def inputs(http: Any, *, binary: bool = True) -> list[Any]:
    made = []
    for name, value in VALUES.items():
        each = http.InferInput(name, list(value.shape), DATATYPE[value.dtype])
        each.set_data_from_numpy(value, binary_data=binary or name == "halves")
        made.append(each)
    return made


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
async def test_what_it_sends_comes_back_in_every_coding(address: str, coding: str | None, binary: bool) -> None:
    def ask(http: Any, client: Any) -> dict[str, Any]:
        how = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
        result = client.infer(MODEL, inputs(http, binary=binary), **how)
        return {name: result.as_numpy(name) for name in VALUES}

    found = await in_a_thread(address, ask)

    for name, value in VALUES.items():
        texts = name == "texts" and found[name].dtype == object
        given = [[each.decode() for each in row] for row in found[name]] if texts else found[name].tolist()
        assert given == value.tolist()


async def test_it_picks_outputs_in_json_and_in_binary(address: str) -> None:
    def ask(http: Any, client: Any) -> tuple[Any, Any]:
        outputs = [
            http.InferRequestedOutput("flags", binary_data=False),
            http.InferRequestedOutput("numbers", binary_data=True),
        ]
        result = client.infer(MODEL, inputs(http), outputs=outputs)
        return result.as_numpy("flags"), result.as_numpy("numbers")

    flags, numbers = await in_a_thread(address, ask)

    assert flags.tolist() == VALUES["flags"].tolist()
    assert numbers.tobytes() == VALUES["numbers"].tobytes()


async def test_it_shows_our_words_where_it_is_refused(address: str) -> None:
    from tritonclient.utils import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
        InferenceServerException,
    )

    def ask(http: Any, client: Any) -> str:
        with pytest.raises(InferenceServerException) as caught:
            client.infer(MODEL, inputs(http)[:1])
        return str(caught.value)

    assert "missing input: 'halves', 'texts', 'flags'" in await in_a_thread(address, ask)


async def test_it_reads_that_binary_tensors_are_offered(address: str) -> None:
    offered = await in_a_thread(address, lambda _, client: client.get_server_metadata()["extensions"])

    assert "binary_tensor_data" in offered


async def test_its_bfloat16_goes_both_ways() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="tritonclient takes bfloat16 as this package's, onnx brings it")
    given = np.array([[0.5, -1.5], [3.0, 2.0**-130]], np.float32)
    spec = TensorSpec("x", "BF16", (-1, 2))

    def ask(http: Any, client: Any) -> Any:
        tensor = http.InferInput("x", [2, 2], "BF16")
        tensor.set_data_from_numpy(given.astype(ml_dtypes.bfloat16))
        return client.infer(MODEL, [tensor]).as_numpy("x").astype(np.float32)

    async with served([spec]) as address:
        assert (await in_a_thread(address, ask)).tolist() == given.tolist()
