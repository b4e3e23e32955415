"""Debian's Prometheus and Alertmanager as processes on loopback ports, and whom they tell.

Whoever started them ends them.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.flows.gateway_process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RULES: Final = ROOT / "helm" / "gateway" / "files" / "alerts" / "gateway.yaml"

needs_prometheus: Final = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("prometheus-alertmanager") is None,
    reason="prometheus or its alertmanager is not installed: `make programs` installs them where it may",
)


def hastened(directory: Path) -> Path:
    """Return a copy of the shipped rules in which every alert waits for one second only; nothing else differs."""
    copy = directory / "hastened.yaml"
    copy.write_text(re.sub(r"(?m)^( +for:) .*$", r"\1 1s", RULES.read_text()))
    return copy


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class _Server:
    """One program below *directory*."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{free_port()}"

    def kill(self) -> None:
        """Kill it, if it runs, and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def _run(self, program: str, config: Any, **flags: object) -> None:
        file = self._directory / f"{program}.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        given = {"config.file": file, "web.listen-address": self.address, "log.level": "error", **flags}
        with (self._directory / f"{program}.log").open("ab") as log:
            command = [program, *(f"--{name.replace('_', '.')}={value}" for name, value in given.items())]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


class Prometheus(_Server):
    """Scrapes *target_port*, five times a second unless told otherwise."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.target_port = free_port()

    def start(self, *, rules: Path | None = None, alertmanager: str = "", every: str = "200ms") -> None:
        """Start with the *rules*, looked at each second; what fires goes to the *alertmanager* at that address."""
        scraped = {"job_name": "gateway", "static_configs": [{"targets": [f"127.0.0.1:{self.target_port}"]}]}
        managers = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
        config = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": "1s"},
            "scrape_configs": [scraped],
            "rule_files": [str(rules)] if rules else [],
            "alerting": {"alertmanagers": managers},
        }
        self._run("prometheus", config, storage_tsdb_path=self._directory / "data")

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the series that answer *query*. Raises OSError where it is refused or nobody is there."""
        return self._get("query", query=query)

    def graph(self, query: str, began: float, ended: float) -> list[dict[str, Any]]:
        """Return the series that a panel would draw between two times, in seconds since 1970, a point each second."""
        return self._get("query_range", query=query, start=began, end=ended, step=1)

    def _get(self, what: str, **given: object) -> list[dict[str, Any]]:
        address = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(given)}"
        with urllib.request.urlopen(address, timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


class Alertmanager(_Server):
    """Sends what fires to a webhook, at once."""

    def start(self, webhook: str) -> None:
        config = {
            "route": {"receiver": "hook", "group_by": ["..."], "group_wait": "100ms", "group_interval": "1s"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": webhook}]}],
        }
        flags = {"cluster.listen-address": "", "storage.path": self._directory / "alerts"}
        self._run("prometheus-alertmanager", config, **flags)


class Webhook:
    """An HTTP server that keeps what it is sent and answers each with *status*."""

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[dict[str, Any]] = []
        hook = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.port = self._server.server_port
        self.address = f"http://127.0.0.1:{self.port}/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that an Alertmanager told of as firing, in the order in which they came."""
        return [each for told in self.taken for each in told["alerts"] if each["status"] == "firing"]

    def firing(self) -> list[dict[str, str]]:
        """Return the labels of the alerts that are firing now, as far as was told."""
        last = {each["fingerprint"]: each for told in list(self.taken) for each in told["alerts"]}
        return [each["labels"] for each in last.values() if each["status"] == "firing"]

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
