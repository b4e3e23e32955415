"""One inference request through each door of a real gateway: v2 and v1 over HTTP, and gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np

from gateway.processes.sockets import open_sockets
from gateway.rpc.descriptors import MESSAGES

if TYPE_CHECKING:
    from tests.flows.gateway_process import Gateway

DOORS: Final = ("v2", "v1", "grpc")

STATUS: Final = {
    grpc.StatusCode.OK: 200, grpc.StatusCode.INVALID_ARGUMENT: 400, grpc.StatusCode.RESOURCE_EXHAUSTED: 413,
    grpc.StatusCode.INTERNAL: 500, grpc.StatusCode.UNAVAILABLE: 503, grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}  # fmt: skip
"""What a code is over HTTP."""

FIELDS: Final = {"FP32": "fp32_contents", "INT64": "int64_contents"}


def free_port() -> int:
    """Return a port that nobody listens on now."""
    [sock] = open_sockets("127.0.0.1", 0, 1, "--grpc-port")
    with sock:
        return int(sock.getsockname()[1])


class Caller:
    """Asks *gateway*, whose gRPC door listens on *grpc_port*."""

    def __init__(self, gateway: Gateway, grpc_port: int) -> None:
        self.gateway = gateway
        self._channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")

    def close(self) -> None:
        self._channel.close()

    def ask(
        self, door: str, model: str, tensor: Any, *, version: int | None = None, timeout_ms: int | None = None
    ) -> tuple[int, str]:
        """Send *tensor*, the input x, and return the status as HTTP has it and the text of the answer."""
        if door == "grpc":
            return self._call(model, tensor, version, timeout_ms)
        datatype = "INT64" if tensor.dtype == np.int64 else "FP32"
        pin = "" if version is None else f"/versions/{version}"
        headers = {} if timeout_ms is None else {"x-request-timeout-ms": str(timeout_ms)}
        if door == "v1":
            answer = self.gateway.ask("POST", f"/v1/models/{model}{pin}:predict", {"inputs": tensor.tolist()}, headers)
        else:
            given = {"name": "x", "datatype": datatype, "shape": list(tensor.shape), "data": tensor.ravel().tolist()}
            answer = self.gateway.ask("POST", f"/v2/models/{model}{pin}/infer", {"inputs": [given]}, headers)
        return answer.status, answer.body.decode()

    def _call(self, model: str, tensor: Any, version: int | None, timeout_ms: int | None) -> tuple[int, str]:
        datatype = "INT64" if tensor.dtype == np.int64 else "FP32"
        made = MESSAGES["ModelInferRequest"](model_name=model, model_version="" if version is None else str(version))
        given = made.inputs.add(name="x", datatype=datatype, shape=tensor.shape)
        getattr(given.contents, FIELDS[datatype]).extend(tensor.ravel().tolist())
        if timeout_ms is not None:
            made.parameters["timeout"].int64_param = timeout_ms * 1000
        infer = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            infer(made.SerializeToString(), timeout=15)
        except grpc.RpcError as failed:
            return STATUS[failed.code()], failed.details() or ""
        return 200, ""
