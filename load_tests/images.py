"""The other work of the benchmark: an image for a small convolution, in the binary extension.

An image is one FP32 tensor of 3 × 224 × 224 (602 kB); wrk sends it, which has to be installed.
"""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from load_tests import work
from load_tests.measure import Load

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "image"
OUTPUT: Final = "output"
PATH: Final = f"/v2/models/{NAME}/infer"
SHAPE: Final = (3, 224, 224)


def file_in(models: Path) -> Path:
    """Return where `add` puts the model."""
    return models / NAME / "1" / "model.onnx"


def add(models: Path) -> None:
    """Put the convolution into the repository *models*."""
    file_in(models).parent.mkdir(parents=True)
    file_in(models).write_bytes(convolution())


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
        nodes, NAME,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", *SHAPE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 10])],
        [weights("w1", 8, 3, 3, 3), weights("w2", 16, 8, 3, 3), weights("w3", 16, 10)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def load(directory: Path, core: int, count: int = 1) -> Load:
    """Return the load of one request with *count* images. Raises NotMeasurable without wrk."""
    tensor = np.random.default_rng(2).random((count, *SHAPE), np.float32)
    parameters = {"binary_data_size": tensor.nbytes}
    entry = {"name": "input", "shape": tensor.shape, "datatype": "FP32", "parameters": parameters}
    asked = [{"name": OUTPUT, "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [entry], "outputs": asked}).encode()
    body = directory / "images.bin"
    body.write_bytes(head + tensor.tobytes())
    made = Load.of(body, (core,), path=PATH, json_bytes=len(head))
    if not made.wrk:
        raise work.NotMeasurable("images are sent by wrk, which is not installed (Debian: apt install wrk)")
    return made


def check(port: int, name: str, image: Load, model: Path) -> None:
    """Raise NotMeasurable where the server *name* does not answer as onnxruntime does."""
    body = image.body.read_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", PATH, body, {"inference-header-content-length": str(image.json_bytes)})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    given = np.frombuffer(body[image.json_bytes :], np.float32).reshape(-1, *SHAPE)
    [expected] = onnxruntime.InferenceSession(str(model)).run(None, {"input": given})
    got = np.frombuffer(text[-expected.nbytes :], np.float32) if len(text) >= expected.nbytes else np.empty(0)
    is_right = got.shape == (expected.size,) and np.allclose(got, expected.ravel(), atol=1e-4)
    if answer.status != http.HTTPStatus.OK or not is_right:
        raise work.NotMeasurable(f"{name} answers an image wrongly, nothing is timed: {text[:200]!r}")
