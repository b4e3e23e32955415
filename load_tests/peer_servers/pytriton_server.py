"""ONNX models behind PyTriton with dynamic batching: ``python pytriton_server.py PORT [NAME MODEL.onnx OUTPUT]...``.

A model takes ``input`` FP32 [n, ...] and answers OUTPUT, one of its own.
Source: PyTriton documentation, "Binding Models to Triton" and "Decorators".
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def main(port: int, *served: str) -> None:
    """Serve until SIGTERM."""
    config = TritonConfig(http_port=port, grpc_port=port + 1, metrics_port=port + 2, log_verbose=0)
    with Triton(config=config) as triton:
        for name, path, output in zip(served[::3], served[1::3], served[2::3], strict=True):
            bind(triton, name, path, output)
        triton.serve()


def bind(triton: Triton, name: str, path: str, output: str) -> None:
    """Have *triton* serve the model in the file *path*."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)

    @batch  # type: ignore[untyped-decorator] # no stubs here
    def infer(input: Any) -> list[Any]:  # noqa: A002 - the tensor's name
        return list(session.run([output], {"input": input}))

    shapes = {value.name: tuple(value.shape[1:]) for value in (*session.get_inputs(), *session.get_outputs())}
    triton.bind(
        model_name=name,
        infer_func=infer,
        inputs=[Tensor(name="input", dtype=np.float32, shape=shapes["input"])],
        outputs=[Tensor(name=output, dtype=np.float32, shape=shapes[output])],
        config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
