"""Asks a gateway with KServe's own clients and prints what they read, as JSON. Runs in `.venv-kserve`, not in ours.

usage: kserve_client.py URL GRPC_ADDRESS MODEL USERS
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

ROWS = [[1.5, -2.0], [3.0, 4.0]]


def v2_request(model: str, *, binary: bool = False) -> InferRequest:
    tensor = InferInput(name="x", shape=[2, 2], datatype="FP32")
    tensor.set_data_from_numpy(np.array(ROWS, np.float32), binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[tensor])


def v2_outputs(answer: Any) -> list[Any]:
    return [output.as_numpy().tolist() for output in answer.outputs]


async def main(url: str, address: str, model: str, users: int) -> dict[str, Any]:
    v1, v2 = (InferenceRESTClient(RESTConfig(protocol=protocol)) for protocol in ("v1", "v2"))
    rpc = InferenceGRPCClient(address)
    said: dict[str, Any] = {
        "live": [await v1.is_server_live(url), await v2.is_server_live(url), await rpc.is_server_live()],
        "ready": [await v2.is_server_ready(url), await rpc.is_server_ready()],
        "model ready": [await each.is_model_ready(url, model) for each in (v1, v2)] + [await rpc.is_model_ready(model)],
        "answers": [],
    }
    for number in range(users):
        user = {"x-user-id": f"user-{number}"}
        predicted = await v1.infer(url, {"instances": ROWS}, model_name=model, headers=user)
        columns = [[row[name] for row in predicted["predictions"]] for name in ("y", "version")]
        plain = v2_outputs(await v2.infer(url, v2_request(model), model_name=model, headers=user))
        binary = v2_outputs(await v2.infer(url, v2_request(model, binary=True), model_name=model, headers=user))
        over_rpc = v2_outputs(await rpc.infer(v2_request(model), headers=tuple(user.items())))
        said["answers"].append([columns, plain, binary, over_rpc])
    try:
        await v1.infer(url, {"instances": [[1.0]]}, model_name=model)
    except Exception as exc:  # the SDK raises what its HTTP library raises: the text is what is looked at
        said["error"] = str(exc)
    for client in (v1, v2, rpc):
        await client.close()
    return said


if __name__ == "__main__":
    _, url, address, model, users = sys.argv
    print(json.dumps(asyncio.run(main(url, address, model, int(users)))))
