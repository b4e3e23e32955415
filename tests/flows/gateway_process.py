"""A real ``gateway serve`` as a process: started with its own directories, asked over its ports, always ended.

Nothing here reaches into the gateway: what a test learns it learns from the ports, the exit code,
the streams, and what the operating system says of the processes.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateway.processes.state import StateDirectory
from load_tests import proc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
COMMAND: Final = (sys.executable, "-m", "gateway", "serve")

READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 50.0
CLOSE_SECONDS: Final = 15.0
"""How long a gateway that nobody asks any more may take to stop."""

GONE_SECONDS: Final = 10.0
"""How long the children of a launcher that was killed may take to notice and end."""

STARTED: Final[list[Gateway]] = []
"""Those that live now, so that a failing test can show what they wrote."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer over HTTP; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """Return the body, read as JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class Gateway:
    """One gateway below *directory*, which holds its state and its streams.

    prefix: what the command line begins with, where something else has to start it: on a host of its own, say.
    """

    directory: Path
    models: Path
    routes: Path
    workers: int = 2
    flags: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = COMMAND
    prefix: Sequence[str] = ()
    inference: str = ""
    admin: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _runtime: Path | None = None

    @property
    def state(self) -> Path:
        """The state directory; it outlives a stop, so that a test may start again on it."""
        return self.directory / "state"

    @property
    def pid(self) -> int:
        """The launcher."""
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        """The inference port."""
        port = urlsplit(self.inference).port
        assert port is not None
        return port

    # ---- beginning and end

    def spawn(self) -> None:
        """Start the process and wait for nothing."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._runtime = Path(tempfile.mkdtemp(prefix="gw-"))  # short: a unix socket's path lies in it
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("GATEWAY_")}
        with self._stream("stdout").open("wb") as out, self._stream("stderr").open("wb") as err:
            self._process = subprocess.Popen(
                [*self.prefix, *self.command, *self._own_flags(), *self.flags],
                cwd=ROOT,
                env={**inherited, "XDG_RUNTIME_DIR": str(self._runtime), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        STARTED.append(self)

    def start(self) -> Gateway:
        """Start, wait for the banner and learn the addresses from it."""
        self.spawn()
        eventually(lambda: "stop with Ctrl-C" in self.stdout() or self.exit_code() is not None, READY_SECONDS, "ready")
        found = re.search(r"inference +(\S+)\n +admin +(\S+)\n", self.stdout())
        assert found, f"no banner; exit code {self.exit_code()}:\n{self.stderr()}"
        self.inference, self.admin = found.groups()
        return self

    def stop(self, within: float = STOP_SECONDS) -> int:
        """Send SIGTERM, wait, and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(within)

    def wait(self, within: float = STOP_SECONDS) -> int:
        """Return the exit code, once there is one."""
        assert self._process is not None
        return self._process.wait(within)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the launcher."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the launcher with SIGKILL and return when its children are gone too."""
        self.signal(signal.SIGKILL)
        self.wait()
        eventually(lambda: not self.left(), GONE_SECONDS, "every child of the killed launcher gone")

    def left(self) -> set[int]:
        """Return the processes of this gateway that still live."""
        return proc.tree(self.pid) - ({self.pid} if self.exit_code() is not None else set())

    def runtime_files(self) -> list[str]:
        """Return what lies in the directory of its sockets."""
        assert self._runtime is not None
        return sorted(path.name for path in self._runtime.iterdir())

    def close(self) -> None:
        """End exactly what was started, whatever state it is in, and fail if that had to be done by force."""
        if self._process is None:
            return
        stuck = ""
        if self.exit_code() is None:
            try:
                code = self.stop(CLOSE_SECONDS)
                stuck = f"it stopped with exit code {code}" if code else ""
            except subprocess.TimeoutExpired:
                stuck = f"on SIGTERM it did not stop within {CLOSE_SECONDS} s; left: {self._describe_left()}"
        try:
            eventually(lambda: not self.left(), GONE_SECONDS, "all children gone")
        except AssertionError:
            stuck = stuck or "it left processes behind"
        self._clean_up()
        assert not stuck, f"{stuck}:\n{self.stderr()}"

    def _describe_left(self) -> dict[int, str]:
        return {pid: _command_line(pid) for pid in self.left()}

    def _clean_up(self) -> None:
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(5)
        self._process = None
        STARTED.remove(self)
        StateDirectory(self.state).leave()  # after a SIGKILL nobody else would
        if self._runtime is not None:
            shutil.rmtree(self._runtime, ignore_errors=True)

    # ---- what it says

    def exit_code(self) -> int | None:
        """Return the launcher's exit code, None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def stdout(self) -> str:
        """Return all that was written to standard output."""
        return self._stream("stdout").read_text()

    def stderr(self) -> str:
        """Return all that was written to standard error, which is the log."""
        return self._stream("stderr").read_text(errors="replace")

    def _stream(self, name: str) -> Path:
        return self.directory / name

    def _own_flags(self) -> list[str]:
        """Return the flags that keep this gateway apart from every other; ``flags`` come later and win."""
        own = {"port": 0, "admin-port": 0, "grpc-port": 0, "workers": self.workers, "models": self.models,
               "routes": self.routes, "state-dir": self.state, "drain-delay": "100ms"}  # fmt: skip
        return [part for name, value in own.items() for part in (f"--{name}", str(value))]

    # ---- its processes

    def worker_pids(self) -> list[int]:
        """Return the data workers that run now."""
        return self._children("gateway-worker")

    def control_pid(self) -> int:
        """Return the control process."""
        (pid,) = self._children("gateway-control")
        return pid

    def verifier_pids(self) -> list[int]:
        """Return the process that probes model files, where there is one: it ends when it has nothing to do."""
        return self._children("gateway-verify")

    def store_pid(self) -> int:
        """Return the server of the embedded store."""
        (pid,) = self._children("unixsocket")
        return pid

    def _children(self, word: str) -> list[int]:
        return sorted(pid for pid in proc.tree(self.pid) if pid != self.pid and word in _command_line(pid))

    # ---- its ports

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, *, base: str = ""
    ) -> Answer:
        """Send one request on a connection of its own to the inference port, or to *base*."""
        address = urlsplit(base or self.inference)
        assert address.hostname is not None
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=15)
        content = None if body is None else json.dumps(body)
        kind = {} if body is None else {"content-type": "application/json"}
        began = time.perf_counter()
        try:
            connection.request(method, path, content, {**kind, **(headers or {})})
            response = connection.getresponse()
            text = response.read()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, text, time.perf_counter() - began)
        finally:
            connection.close()

    def ask_admin(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Send one request to the admin port; ``if_match`` is the header If-Match."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(method, path, body, named, base=self.admin)

    def set_weights(self, model: str, weights: Mapping[str, int], match: str = "*") -> Answer:
        """Change the split of a route."""
        return self.ask_admin("PATCH", f"/api/v1/models/{model}/route/weights", {"weights": weights}, if_match=match)

    def is_ready(self) -> bool:
        """Say whether the worker that takes this connection is ready."""
        return self.ask("GET", "/v2/health/ready").status == 200

    def index(self) -> dict[tuple[str, str], dict[str, str]]:
        """Return the repository's index, by model and version."""
        return {(row["name"], row["version"]): row for row in self.ask("POST", "/v2/repository/index").json()}


def _command_line(pid: int) -> str:
    """Return a process's name and its command line; forked children share the launcher's command line."""
    try:
        shown = Path(f"/proc/{pid}/comm").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        return shown.replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def eventually(holds: Callable[[], object], within: float, what: str) -> float:
    """Return the seconds until *holds*; fail when it does not *within* that many."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within, f"not within {within} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began
