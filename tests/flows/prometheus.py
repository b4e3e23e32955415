"""Debian's Prometheus and Alertmanager as processes on loopback ports; ended by whoever started them."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


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
    """Scrapes *target_port* five times a second."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.target_port = free_port()

    def start(self, *, rules: Path | None = None, alertmanager: str = "") -> None:
        """Start with the *rules*, looked at each second; what fires goes to the *alertmanager* at that address."""
        scraped = {"job_name": "gateway", "static_configs": [{"targets": [f"127.0.0.1:{self.target_port}"]}]}
        managers = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
        config = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "1s"},
            "scrape_configs": [scraped],
            "rule_files": [str(rules)] if rules else [],
            "alerting": {"alertmanagers": managers},
        }
        self._run("prometheus", config, storage_tsdb_path=self._directory / "data")

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the series that answer *query*. Raises OSError where it is refused or nobody is there."""
        address = f"http://{self.address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
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
