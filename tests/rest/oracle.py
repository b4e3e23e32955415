"""The runtime called directly, to compare the inference port's answers with."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.engine.onnx import OnnxEngine
from tests.rest.door import SHIPPED, request, tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.engine.onnx import OnnxSession
    from tests.rest.door import Reply

MODELS = ("breast-cancer", "digits", "text-topics")

EVERY_VERSION = [
    (model, int(path.name)) for model in MODELS for path in sorted((SHIPPED / model).iterdir()) if path.is_dir()
]


@cache
def directly(model: str, version: int) -> OnnxSession:
    """Return the runtime's own session of a shipped version."""
    path = SHIPPED / model / str(version) / "model.onnx"
    return OnnxEngine().load(path, model=model, version=version, threads=1)


def feeds_of(session: OnnxSession, rows: int, numbers: Iterator[float]) -> dict[str, Any]:
    """Return tensors of *rows* rows for every input, filled from *numbers*; text is made of them."""
    feeds: dict[str, Any] = {}
    for spec in session.signature.inputs:
        shape = (rows, *(max(size, 1) for size in spec.shape[1:]))
        values = [next(numbers) for _ in range(int(np.prod(shape)))]
        if spec.datatype == "BYTES":
            texts = [f"open the file {value} and lock it" for value in values]
            feeds[spec.name] = np.array(texts, object).reshape(shape)
        else:
            feeds[spec.name] = np.array(values, np.float32).reshape(shape)
    return feeds


def as_request(session: OnnxSession, feeds: dict[str, Any], *, nested: bool = False, **members: Any) -> dict[str, Any]:
    """Return the inference request that brings *feeds*."""
    inputs = []
    for spec in session.signature.inputs:
        given = feeds[spec.name]
        data = given.tolist() if nested else given.ravel().tolist()
        inputs.append(tensor(spec.name, spec.datatype, given.shape, data))
    return request(*inputs, **members)


def assert_equal(reply: Reply, session: OnnxSession, feeds: dict[str, Any]) -> None:
    """Fail unless *reply* holds what the runtime answers; floats may differ in the last digits, as batches do."""
    assert reply.status == 200, reply.body
    outputs = reply.json["outputs"]
    for spec, expected, output in zip(session.signature.outputs, session.run(feeds), outputs, strict=True):
        assert (output["name"], output["datatype"]) == (spec.name, spec.datatype)
        assert output["shape"] == list(expected.shape)
        found = np.array(output["data"], expected.dtype).reshape(expected.shape)
        if spec.datatype.startswith("FP"):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        else:
            assert found.tolist() == expected.tolist()
