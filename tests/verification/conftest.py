"""Verifiers in processes of their own, as the launcher starts one: a fork belongs in a process with a single thread."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.verification.asking import RemoteVerifier, pair

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Verifying = Callable[..., AbstractContextManager[RemoteVerifier]]

MEGABYTE = 1 << 20

PROCESS = """
import os, socket, sys
from pathlib import Path
from gateway.engine.onnx import OnnxEngine
from gateway.verification.asking import answer_next
from gateway.verification.findings import Findings
from gateway.verification.probe import Bounds
from gateway.verification.verifier import LocalVerifier

class Counting(OnnxEngine):
    def load(self, path, **how):
        with counted.open("a") as file:
            file.write(how["model"] + " at niceness " + str(os.nice(0)) + chr(10))
        return super().load(path, **how)

hears, findings, counted = socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
bounds = Bounds(int(sys.argv[4]), float(sys.argv[5]), float(sys.argv[6]), 0.2)
verifier = LocalVerifier(Counting(), Findings(findings, sys.argv[7]), bounds)
while True:
    answer_next(hears, verifier.verify)
"""


@contextmanager
def verifier_process(
    directory: Path,
    *,
    memory_bytes: int = 512 * MEGABYTE,
    build_seconds: float = 20.0,
    prove_seconds: float = 10.0,
    runtime: str = "onnxruntime",
) -> Iterator[RemoteVerifier]:
    """Run a verifier on ``findings`` below *directory*; each probe is a line of ``probed`` there."""
    asked, hears = pair()
    bounds = [str(each) for each in (memory_bytes, build_seconds, prove_seconds)]
    told = [str(hears.fileno()), str(directory / "findings"), str(directory / "probed"), *bounds, runtime]
    process = subprocess.Popen([sys.executable, "-c", PROCESS, *told], pass_fds=[hears.fileno()])
    hears.close()
    try:
        yield RemoteVerifier(asked, seconds=60.0)
    finally:
        process.kill()
        process.wait()
        asked.close()


@pytest.fixture
def verifying(tmp_path: Path) -> Verifying:
    """Start a verifier below the test's directory."""
    return lambda **bounds: verifier_process(tmp_path, **bounds)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteVerifier]:
    """Give all tests of a module one verifier, with time and memory enough for what is sound."""
    with verifier_process(tmp_path_factory.mktemp("verifier")) as verifier:
        yield verifier


@pytest.fixture
def nobody() -> Iterator[socket.socket]:
    """Give an end on which nobody hears."""
    asked, hears = pair()
    hears.close()
    yield asked
    asked.close()
