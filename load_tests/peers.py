"""The gateway beside other servers, on the same core, in turns: images in binary, and rows over gRPC.

    python -m load_tests.peers [--pytriton PYTHON] [--mlserver PYTHON] [--seconds 3] [--rounds 3]

PYTHON is the interpreter of an environment of its own in which that peer and onnxruntime are installed
(``pip install nvidia-pytriton onnxruntime``; ``pip install mlserver onnxruntime "uvloop<0.22"``). A peer that is not
named is left out. Load over HTTP is made by wrk, which has to be installed. Nothing is timed before the gateway's
answer agrees with onnxruntime.

An image is one FP32 tensor of 3 × 224 × 224 (602 kB) for a small convolution, sent and answered in the binary
extension. A row is the 30 floats of the benchmark.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from load_tests import servers, work
from load_tests.bench import two_cores
from load_tests.measure import GrpcLoad, Load, Measurement, median, paired_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from load_tests.servers import Server

CONNECTIONS: Final = 16
CALLS: Final = 64
WARM_UP_SECONDS: Final = 2
PEER_SERVERS: Final = Path(__file__).with_name("peer_servers")
IMAGE: Final = "image"
IMAGE_PATH: Final = f"/v2/models/{IMAGE}/infer"
SHAPE: Final = (1, 3, 224, 224)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One load on both: measurements in the same order."""

    title: str
    peer: str
    mine: list[Measurement]
    theirs: list[Measurement]

    def lines(self) -> list[str]:
        """Return the rows of the table."""
        rows = [f"{self.title}: gateway and {self.peer}"]
        for name, measured in (("gateway", self.mine), (self.peer, self.theirs)):
            values = [median(measured, member) for member in ("requests_per_second", "cpu_us", "p50_ms", "p99_ms")]
            rows.append("  {:10} {:9.0f} req/s {:9.0f} µs CPU  p50 {:7.2f} ms  p99 {:7.2f} ms".format(name, *values))
        rate, cpu = (paired_ratio(self.mine, self.theirs, member) for member in ("requests_per_second", "cpu_us"))
        rows.append(f"  paired ratio: req/s {rate:.2f}, CPU per request {cpu:.3f}")
        return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare with the peers that were named, and print what was found."""
    chosen = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="peers-") as directory:
        try:
            found = _compare(chosen, Path(directory))
        except work.NotMeasurable as exc:
            print(exc, file=sys.stderr)
            return 1
    for each in found:
        print("\n".join(each.lines()))
    return 1 if any(one.errors for each in found for one in (*each.mine, *each.theirs)) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load_tests.peers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pytriton", metavar="PYTHON", help="interpreter that has nvidia-pytriton and onnxruntime")
    parser.add_argument("--mlserver", metavar="PYTHON", help="interpreter that has mlserver and onnxruntime")
    parser.add_argument("--seconds", type=int, default=3, help="length of one load (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="loads per server (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    if not chosen.pytriton and not chosen.mlserver:
        parser.error("name a peer: --pytriton PYTHON, --mlserver PYTHON, or both")
    return chosen


def _compare(chosen: argparse.Namespace, directory: Path) -> list[Comparison]:
    models = repository(directory / "models")
    server_core, load_core = two_cores()
    found = []
    with ExitStack() as stack:
        gateway_port, grpc_port = servers.free_port(), servers.free_port()
        command = servers.gateway_command(gateway_port, 1, directory / "gateway", models=models, grpc_port=grpc_port)
        gateway = stack.enter_context(
            servers.running("gateway", command, gateway_port, [server_core], directory / "gateway.log")
        )
        if chosen.pytriton:
            image = _image(directory, load_core)
            _check_image(gateway_port, image, models / IMAGE / "1" / "model.onnx")
            port = servers.free_port()
            peer = [chosen.pytriton, str(PEER_SERVERS / "pytriton_server.py"),
                    str(models / IMAGE / "1" / "model.onnx"), str(port)]  # fmt: skip
            log = directory / "pytriton.log"
            with servers.running("pytriton", peer, port, [server_core], log) as pytriton:
                found.append(_in_turns(chosen, "images, binary", gateway, pytriton, image, image, CONNECTIONS))
        if chosen.mlserver:
            port = servers.free_port()
            peer = _mlserver(chosen.mlserver, directory / "mlserver", models, port)
            log = directory / "mlserver.log"
            with servers.running("mlserver", peer, port, [server_core], log) as mlserver:
                mine, theirs = (GrpcLoad(load_core, work.MODEL, each) for each in (grpc_port, port + 1))
                found.append(_in_turns(chosen, "rows, gRPC", gateway, mlserver, mine, theirs, CALLS))
    return found


def _in_turns(
    chosen: argparse.Namespace, title: str, gateway: Server, peer: Server, mine: Any, theirs: Any, connections: int
) -> Comparison:
    for server, load in ((gateway, mine), (peer, theirs)):
        load.on(server, connections, WARM_UP_SECONDS)
    measured: tuple[list[Measurement], list[Measurement]] = ([], [])
    for _ in range(chosen.rounds):
        measured[0].append(mine.on(gateway, connections, chosen.seconds))
        measured[1].append(theirs.on(peer, connections, chosen.seconds))
    return Comparison(title, peer.name, *measured)


def repository(models: Path) -> Path:
    """Make a repository of the row's model and the image's."""
    row = models / work.MODEL / "1"
    row.mkdir(parents=True)
    (row / "model.onnx").write_bytes((work.MODELS / work.MODEL / "1" / "model.onnx").read_bytes())
    image = models / IMAGE / "1"
    image.mkdir(parents=True)
    (image / "model.onnx").write_bytes(convolution())
    return models


def convolution() -> bytes:
    """Return a small convolution over [n, 3, 224, 224]; its weights are random, and do not matter for time."""
    random = np.random.default_rng(1)

    def weights(name: str, *shape: int) -> Any:
        values = (random.standard_normal(shape) * 0.1).astype(np.float32)
        return helper.make_tensor(name, TensorProto.FLOAT, shape, values.tobytes(), raw=True)

    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["c1"], strides=[4, 4]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w3"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes, IMAGE,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", *SHAPE[1:]])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 10])],
        [weights("w1", 8, 3, 3, 3), weights("w2", 16, 8, 3, 3), weights("w3", 16, 10)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _image(directory: Path, core: int) -> Load:
    """Return the load of one image in binary."""
    tensor = np.random.default_rng(2).random(SHAPE, np.float32)
    entry = {"name": "input", "shape": SHAPE, "datatype": "FP32", "parameters": {"binary_data_size": tensor.nbytes}}
    asked = [{"name": "output", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [entry], "outputs": asked}).encode()
    body = directory / "image.bin"
    body.write_bytes(head + tensor.tobytes())
    return Load.of(body, core, path=IMAGE_PATH, json_bytes=len(head))


def _check_image(port: int, image: Load, model: Path) -> None:
    """Raise NotMeasurable where the gateway does not answer as onnxruntime does."""
    if not image.wrk:
        raise work.NotMeasurable("images are sent by wrk, which is not installed (Debian: apt install wrk)")
    body = image.body.read_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", IMAGE_PATH, body, {"inference-header-content-length": str(image.json_bytes)})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    given = np.frombuffer(body[image.json_bytes :], np.float32).reshape(SHAPE)
    [expected] = onnxruntime.InferenceSession(str(model)).run(None, {"input": given})
    got = np.frombuffer(text[-expected.nbytes :], np.float32)
    if answer.status != http.HTTPStatus.OK or not np.allclose(got, expected.ravel(), atol=1e-4):
        raise work.NotMeasurable(f"the gateway's answer to an image is wrong, nothing is timed: {text[:200]!r}")


def _mlserver(python: str, directory: Path, models: Path, port: int) -> list[str]:
    """Write MLServer's own settings and return what starts it; its gRPC port is the next one."""
    served = directory / work.MODEL
    served.mkdir(parents=True)
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    (directory / "settings.json").write_text(json.dumps(settings))
    runtime = PEER_SERVERS / "mlserver_model.py"
    (directory / runtime.name).write_bytes(runtime.read_bytes())
    uri = str(models / work.MODEL / "1" / "model.onnx")
    model = {"name": work.MODEL, "implementation": "mlserver_model.OnnxModel", "parameters": {"uri": uri}}
    (served / "model-settings.json").write_text(json.dumps(model))
    start = f"import os, sys; sys.path.insert(0, {str(directory)!r}); from mlserver.cli import main; main()"
    return [python, "-c", start, "start", str(directory)]


if __name__ == "__main__":
    sys.exit(main())
