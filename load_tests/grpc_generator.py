"""Load over gRPC from one process: as many calls under way as asked for, each sent when its predecessor is answered.

    python -m load_tests.grpc_generator --port P --model M --connections 64 --seconds 3

Prints one line ``@@{json}`` as ``wrk.lua`` does. The call is one row of the benchmark, its tensor raw.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field

import grpc
import grpc.aio
import numpy as np

from gateway.rpc.descriptors import MESSAGES
from load_tests import work

METHOD = "/inference.GRPCInferenceService/ModelInfer"
CHANNELS = 4


@dataclass
class Seen:
    """What came of the calls; times are in seconds."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    seconds: float = 0.0
    """From the first call to the last answer."""


def call(model: str) -> bytes:
    """Return the bytes of a ModelInferRequest with the first work item's row."""
    numbers = json.loads(work.items()[0].body)["inputs"][0]["data"]
    request = MESSAGES["ModelInferRequest"](model_name=model)
    request.inputs.add(name="input", datatype="FP32", shape=[1, len(numbers)])
    request.raw_input_contents.append(np.asarray(numbers, np.float32).tobytes())
    return bytes(request.SerializeToString())


async def load(port: int, model: str, connections: int, seconds: float) -> Seen:
    """Keep *connections* calls under way for so many *seconds*."""
    seen, body = Seen(), call(model)
    until = time.perf_counter() + seconds
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(CHANNELS)]

    async def caller(number: int) -> None:
        ask = channels[number % CHANNELS].unary_unary(METHOD)
        while (began := time.perf_counter()) < until:
            try:
                await ask(body)
            except grpc.aio.AioRpcError:
                seen.errors += 1
            seen.latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(connections)))
    seen.seconds = time.perf_counter() - began
    for channel in channels:
        await channel.close()
    return seen


def main() -> None:
    """Make the load and print what was seen."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.grpc_generator")
    for name in ("--port", "--connections", "--seconds"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--model", required=True)
    chosen = parser.parse_args()
    seen = asyncio.run(load(chosen.port, chosen.model, chosen.connections, chosen.seconds))
    p50, p99 = np.percentile(seen.latencies, [50, 99]) * 1000
    found = {
        "requests": len(seen.latencies), "seconds": seen.seconds, "p50_ms": float(p50),
        "p99_ms": float(p99), "errors": seen.errors,
    }  # fmt: skip
    print(f"@@{json.dumps(found)}")


if __name__ == "__main__":
    main()
