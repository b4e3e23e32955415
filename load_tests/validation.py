"""What checking a request costs: the benchmark's row read with and without it, in this process, in turns.

    python -m load_tests.validation [--rounds 21]

Read without checks, the body is decoded, its numbers are packed into float32 and given the shape that it names.
Read as the gateway does, it is also seen to be within the limits and to fit the version's signature: names,
datatype, shape, rows, number of elements, range of the numbers. The difference of the medians is what that costs.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import sys
import time
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from gateway.core.limits import DEFAULT
from gateway.engine.onnx import OnnxEngine
from gateway.rest import envelope
from gateway.rest.json_codec import JsonCodec
from gateway.serving.codec import Bounds
from load_tests import work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ports.engine import Tensor

REQUESTS: Final = 2_000
"""How many are read in one round."""

PROMISED_US: Final = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what a request costs both ways, in microseconds of processor time."""
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.validation", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=21, help="rounds of each, in turns (default: %(default)s)")
    rounds = parser.parse_args(arguments).rounds
    checked, unchecked = measure(work.items()[0].body, rounds)
    cost = checked - unchecked
    print(f"read with its checks {checked:.2f} µs, without {unchecked:.2f} µs")
    print(f"validation {cost:.2f} µs, promised ≤ {PROMISED_US:.0f} µs: {'kept' if cost <= PROMISED_US else 'MISSED'}")
    return 0


def measure(body: bytes, rounds: int) -> tuple[float, float]:
    """Return the medians of reading *body* with and without checks, µs. Raises NotMeasurable where they disagree."""
    read = checking()
    if not np.array_equal(read(body), trusting(body)):
        raise work.NotMeasurable("both ways must read the same numbers, and do not")
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        taken[0].append(_microseconds(read, body))
        taken[1].append(_microseconds(trusting, body))
    return statistics.median(taken[0]), statistics.median(taken[1])


def checking() -> Callable[[bytes], Tensor]:
    """Return how the gateway reads a request for the benchmark's model."""
    path = work.MODELS / work.MODEL / "1" / "model.onnx"
    signature = OnnxEngine().load(path, model=work.MODEL, version=1, threads=1).signature
    codec = JsonCodec(work.MODEL, 1, signature, Bounds(4096, DEFAULT.elements, DEFAULT.outputs), batchable=True)

    def read(body: bytes) -> Tensor:
        feeds, _ = codec.read(envelope.read(body, DEFAULT).inputs)
        return feeds[0]

    return read


_decode = msgspec.json.Decoder(envelope.Envelope).decode
_numbers = msgspec.json.Decoder(list[float]).decode
_pack = struct.Struct("=30f").pack


def trusting(body: bytes) -> Tensor:
    """Read a request for the benchmark's model and believe all of it."""
    given = _decode(body).inputs[0]
    return np.ndarray(given.shape, np.float32, _pack(*_numbers(given.data)))


def _microseconds(read: Callable[[bytes], Tensor], body: bytes) -> float:
    """Return what one of REQUESTS readings takes."""
    began = time.process_time()
    for _ in range(REQUESTS):
        read(body)
    return (time.process_time() - began) / REQUESTS * 1e6


if __name__ == "__main__":
    sys.exit(main())
