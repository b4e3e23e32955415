"""What the model configuration extension says of a version, in the words of Triton's protocol, for every door.

``max_batch_size`` is 0: requests are batched here without it, and shapes and ``dims`` stay the same tuples.

Source: Triton Inference Server, "Model Configuration Extension" and model_config.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gateway.core.signature import Signature, TensorSpec

DATA_TYPES: Final = {
    "BOOL": 1, "UINT8": 2, "UINT16": 3, "UINT32": 4, "UINT64": 5, "INT8": 6, "INT16": 7, "INT32": 8, "INT64": 9,
    "FP16": 10, "FP32": 11, "FP64": 12, "BYTES": 13, "BF16": 14,
}  # fmt: skip
"""Datatype → number in Triton's enumeration, where BYTES is called STRING."""


def model_config(model: str, signature: Signature) -> dict[str, Any]:
    """Return the configuration of a version with *signature*; data types by name, as in JSON."""
    return {
        "name": model,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": 0,
        "input": [_tensor(spec) for spec in signature.inputs],
        "output": [_tensor(spec) for spec in signature.outputs],
    }


def data_type(datatype: str) -> str:
    """Return the name of a protocol's *datatype* in Triton's enumeration."""
    return f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}"


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": data_type(spec.datatype), "dims": list(spec.shape)}
