"""An MLflow server in its recorded REST form (3.17), and folders as MLflow 3 writes them."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = {
    "name": "iris", "version": "1", "creation_timestamp": 1795279397897, "current_stage": "None",
    "description": "the first", "source": "models:/m-88d2", "run_id": "1f1c", "status": "READY",
    "tags": [{"key": "stage", "value": "production"}], "run_link": "", "aliases": ["champion"],
}  # fmt: skip
RUN = {
    "info": {"run_id": "1f1c", "status": "FINISHED"},
    "data": {
        "metrics": [
            {"key": "accuracy", "value": 0.9733, "timestamp": 1, "step": 0}, {"key": "loss", "value": "NaN"},
        ],
        "params": [{"key": "max_iter", "value": "500"}],
        "tags": [{"key": "mlflow.source.git.commit", "value": "a" * 40}, {"key": "mlflow.user", "value": "root"}],
    },
}  # fmt: skip
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


def description(flavour: str, **members: object) -> str:
    """Return an ``MLmodel``."""
    written = "\n".join(f"    {name}: {json.dumps(value)}" for name, value in members.items())
    return (
        f"flavors:\n  python_function:\n    loader_module: mlflow.{flavour}\n  {flavour}:\n{written}\n"
        f"mlflow_version: 3.17.2\nmodel_id: null\nmodel_uuid: 7c94\nutc_time_created: '2026-11-21 16:36:27.900416'\n"
    )


class Registry(ThreadingHTTPServer):
    """Has one version, ``iris/1``, called champion; its files are those of *folder*."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.folder = folder
        self.uri = "mlflow-artifacts:/0/models/m-88d2/artifacts"
        self.listed: list[dict[str, Any]] | None = None
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.asked.append(self.headers.get("authorization"))
        found = self._json(parts.path.removeprefix("/api/2.0/mlflow/"), query)
        if parts.path == ARTIFACTS:
            found = {"files": self._entries(query["path"])}
        if found is not None:
            self._send(200, json.dumps(found).encode())
        elif parts.path.startswith(ARTIFACTS):
            self._send(200, (self.server.folder / self._inner(unquote(parts.path))).read_bytes())
        else:
            message = "Model Version (name=iris, version=7) not found"
            self._send(404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": message}).encode())

    def _json(self, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        answers: dict[tuple[str, str], dict[str, Any]] = {
            ("model-versions/get", "1"): {"model_version": VERSION},
            ("registered-models/alias", "champion"): {"model_version": VERSION},
            ("model-versions/get-download-uri", "1"): {"artifact_uri": self.server.uri},
            ("runs/get", "1f1c"): {"run": RUN},
        }
        return answers.get((path, query.get("version") or query.get("alias") or query.get("run_id") or ""))

    def _entries(self, path: str) -> list[dict[str, Any]]:
        if self.server.listed is not None:
            return self.server.listed
        folder = self.server.folder / self._inner(path)
        return [{"path": each.name, "is_dir": each.is_dir(), "file_size": 1} for each in sorted(folder.iterdir())]

    def _inner(self, path: str) -> str:
        return path.partition("m-88d2/artifacts")[2].strip("/")

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_given: object) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[Registry]:
    """Have a registry that answers for the block."""
    with Registry(folder) as registry:
        thread = threading.Thread(target=registry.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield registry
        finally:
            registry.shutdown()
            thread.join(10)
