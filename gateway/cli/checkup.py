"""The checks of ``gateway doctor``. Each returns what it found; none changes anything."""

from __future__ import annotations

import fcntl
import os
import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from gateway.cli.client import Refused
from gateway.cli.errors import CommandFailed
from gateway.cli.findings import Finding
from gateway.cli.machine_checks import descriptors, memory
from gateway.cli.security_checks import check_certificates, check_tokens
from gateway.cli.store_checks import check_store
from gateway.control.route_files import read_directory
from gateway.core.errors import InvalidSettings
from gateway.core.names import is_model_name, version_number

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.cli.client import Client
    from gateway.cli.findings import Verdict
    from gateway.settings import Settings

RUNTIME_FLOOR: Final = (1, 31)
"""The first onnxruntime that builds a session without stopping every request under way."""


def check_all(settings: Settings, client: Client) -> list[Finding]:
    """Return all findings, in the order in which one would repair them."""
    gateway = _gateway(client)
    running = gateway.verdict == "ok"
    return [
        _python(),
        _runtime(),
        _models(settings.repository),
        _routes(settings.routes),
        _state(settings.state_dir, running=running),
        check_tokens(settings),
        check_certificates(settings),
        *check_store(settings),
        descriptors(settings),
        memory(settings, running=running),
        _port("inference port", settings.host, settings.port, running=running),
        *([_port("gRPC port", settings.host, settings.grpc_port, running=running)] if settings.grpc_port else []),
        _port("admin port", settings.admin_host, settings.admin_port, running=running),
        gateway,
    ]


def _python() -> Finding:
    return Finding("python", "ok", platform.python_version())  # an older one cannot even read this file


def _runtime() -> Finding:
    try:
        found = version("onnxruntime")
    except PackageNotFoundError:
        return Finding("onnxruntime", "fail", "not installed; `pip install onnxruntime`")
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers < RUNTIME_FLOOR:
        floor = ".".join(map(str, RUNTIME_FLOOR))
        return Finding(
            "onnxruntime", "fail", f"{found} stops all requests while a model loads; install {floor} or newer"
        )
    return Finding("onnxruntime", "ok", found)


def _models(root: Path) -> Finding:
    try:
        names = [entry.name for entry in root.iterdir() if entry.is_dir() and is_model_name(entry.name)]
        versions = [
            entry.name
            for name in names
            for entry in (root / name).iterdir()
            if version_number(entry.name) and (entry / "model.onnx").is_file()
        ]
    except OSError as exc:
        return Finding(
            "models", "fail", f"{str(root)!r} cannot be read ({exc.strerror}); name another one with --models"
        )
    if not versions:
        return Finding("models", "warn", f"{str(root)!r} holds no MODEL/VERSION/model.onnx")
    return Finding("models", "ok", f"{len(names)} models and {len(versions)} versions in {str(root)!r}")


def _routes(directory: Path) -> Finding:
    try:
        files = read_directory(directory)
    except InvalidSettings as exc:
        return Finding("route files", "warn", str(exc))
    if files.errors:
        return Finding("route files", "fail", "; ".join(str(error) for error in files.errors.values()))
    return Finding("route files", "ok", f"{len(files.documents)} routes in {str(directory)!r}")


def _state(directory: Path, *, running: bool) -> Finding:
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            "state directory", "fail", f"{str(existing)!r} cannot be written; name another one with --state-dir"
        )
    if _is_locked(directory / "lock"):
        verdict: Verdict = "ok" if running else "warn"
        return Finding("state directory", verdict, f"{str(directory)!r} is in use by a gateway that runs now")
    return Finding("state directory", "ok", f"{str(directory)!r} can be written and is free")


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _port(check: str, host: str, port: int, *, running: bool) -> Finding:
    if port == 0:
        return Finding(check, "ok", "any free one")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            if running:
                return Finding(check, "ok", f"{host}:{port} is taken, and a gateway runs")
            return Finding(
                check, "fail", f"{host}:{port} cannot be had ({exc.strerror}); stop its owner, or choose another"
            )
    return Finding(check, "ok", f"{host}:{port} is free")


def _gateway(client: Client) -> Finding:
    try:
        answer = client.get().data
    except Refused as exc:
        return Finding("gateway", "warn", f"{client.url} answers: {exc}")
    except CommandFailed as exc:
        return Finding("gateway", "warn", str(exc))
    if answer.get("store") != "up":
        return Finding(
            "gateway", "fail", f"{client.url} answers and its store does not; it serves the last good routes"
        )
    waiting = [model["name"] for model in answer["models"] if not model["ready"]]
    if waiting:
        return Finding("gateway", "warn", f"{client.url} answers; not ready: {', '.join(waiting)}")
    return Finding(
        "gateway", "ok", f"{client.url} answers, its store is up and all {len(answer['models'])} models are ready"
    )
