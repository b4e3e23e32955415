"""What all sessions of a process share in ONNX Runtime, built before a fork: the table of its kernels.

The first session of a process builds it, whatever its model: 7 ms of the processor and 3.4 MiB that hold for good.
Built once in a process that then forks, its pages are everybody's. See docs/decisions/0041.

Never keeps the session, and starts no thread: neither would survive the fork.
"""

from __future__ import annotations

from typing import Final

import onnxruntime

IDENTITY: Final = bytes.fromhex(
    "0808"
    "3a2f"  # IR version 8; a graph:
    "0a10 0a0178 120179 22084964656e74697479"  # a node from x to y, Identity
    "120167"  # its name, g
    "5a0b 0a0178 1206 0a04 0801 1200"  # its input x, a scalar of FP32
    "620b 0a0179 1206 0a04 0801 1200"  # its output y, another
    "4204 0a00 100d"  # operators of version 13
)
"""A model whose answer is its input. Source: onnx.proto, ``ModelProto`` and what it holds, field by field."""


def register_kernels() -> None:
    """Build and drop a session, in the thread that calls and by the processor alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    onnxruntime.InferenceSession(IDENTITY, options, providers=["CPUExecutionProvider"])
