"""The other servers of the benchmark, each with the gateway's own model files; they run in environments of their own.

A peer is named by the interpreter of its environment; `load_tests/README.md` says what has to be in it. A peer that
is not named is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from load_tests import images, servers, work

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from load_tests.plan import Plan
    from load_tests.servers import Server

MLSERVER: Final = "MLServer"
PYTRITON: Final = "PyTriton"
PEER_SERVERS: Final = Path(__file__).with_name("peer_servers")


def file_in(models: Path) -> Path:
    """Return the file of the row's model in the repository *models*."""
    return models / work.MODEL / "1" / "model.onnx"


def mlserver(plan: Plan, python: str, models: Path) -> AbstractContextManager[Server]:
    """Return MLServer with the row's model, which runs while the context is entered; its gRPC port is the next one."""
    port, directory = servers.free_port(), plan.directory / "mlserver"
    served = directory / work.MODEL
    served.mkdir(parents=True)
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    (directory / "settings.json").write_text(json.dumps(settings))
    runtime = PEER_SERVERS / "mlserver_model.py"
    (directory / runtime.name).write_bytes(runtime.read_bytes())
    parameters = {"uri": str(file_in(models))}
    model = {"name": work.MODEL, "implementation": "mlserver_model.OnnxModel", "parameters": parameters}
    (served / "model-settings.json").write_text(json.dumps(model))
    start = f"import os, sys; sys.path.insert(0, {str(directory)!r}); from mlserver.cli import main; main()"
    command = [python, "-c", start, "start", str(directory)]
    return servers.running(MLSERVER, command, port, plan.cores[:1], plan.directory / "mlserver.log")


def pytriton(plan: Plan, python: str, models: Path) -> AbstractContextManager[Server]:
    """Return PyTriton with the row's model and the image's, which runs while the context is entered."""
    port = servers.free_port()
    served = [(work.MODEL, file_in(models), "probabilities"), (images.NAME, images.file_in(models), images.OUTPUT)]
    words = [str(word) for each in served for word in each]
    command = [python, str(PEER_SERVERS / "pytriton_server.py"), str(port), *words]
    ready = [f"/v2/models/{name}/ready" for name, *_ in served]
    return servers.running(PYTRITON, command, port, plan.cores[:1], plan.directory / "pytriton.log", ready)
