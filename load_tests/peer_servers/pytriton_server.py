"""One ONNX model behind PyTriton with dynamic batching: ``python pytriton_server.py MODEL.onnx PORT``.

The model takes ``input`` FP32 [n, 3, 224, 224] and gives ``output`` FP32 [n, 10].
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


def main(path: str, port: int) -> None:
    """Serve until SIGTERM."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)

    @batch  # type: ignore[untyped-decorator] # no stubs here
    def infer(input: Any) -> list[Any]:  # noqa: A002 - the tensor's name
        return list(session.run(["output"], {"input": input}))

    config = TritonConfig(http_port=port, grpc_port=port + 1, metrics_port=port + 2, log_verbose=0)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="image",
            infer_func=infer,
            inputs=[Tensor(name="input", dtype=np.float32, shape=(3, 224, 224))],
            outputs=[Tensor(name="output", dtype=np.float32, shape=(10,))],
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
