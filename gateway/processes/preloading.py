"""What the launcher imports before it forks, so that its children share it and start in milliseconds."""

from __future__ import annotations

import contextlib
import gc
import os
from typing import TYPE_CHECKING

from gateway.processes import control, verifier, worker
from gateway.store.client_library import import_bare

if TYPE_CHECKING:
    from collections.abc import Iterator


def preload(*, grpc: bool, collector: bool = False) -> None:
    """Import everything that workers and the verifier run, once, for all of them.

    Starts no thread and leaves no session. *grpc*: whether the gRPC door is open; it is not imported where it is not.
    *collector*: whether a collector of OpenTelemetry is named; most of that is then shared too, for the children will
    import it.
    """
    # Official builds of onnxruntime report sessions by default; the switch is read once, at import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # numpy's BLAS is not used, and its thread pool would not survive the fork.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with _kept():
        if not collector:
            import_bare()
        worker.preload(grpc=grpc)
        verifier.preload()

        from gateway.engine.kernels import register_kernels  # imports the runtime, so after the switches above

        register_kernels()


def preload_control() -> None:
    """Import what the control process runs beyond that."""
    with _kept():
        control.preload()


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """Have the garbage collector look at nothing that is made here, now or ever.

    Imports leave hardly a cycle behind, and looking for them took a tenth of the time. A collection in a child would
    touch, and so copy, every page that is shared.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
