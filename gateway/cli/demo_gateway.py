"""The gateway of the demo: a process on free ports, with models and state of its own that go when it goes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateway.settings import environment_without_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILING: Final = Path(__file__).with_name("demo_failing.onnx")
"""A version that loads and warms up well and answers NaN for real rows; made by ``tools/demo_model.py``."""

STOP_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class DemoGateway:
    """The addresses of both ports."""

    inference: str
    admin: str

    @property
    def door(self) -> tuple[str, int]:
        """Return host and number of the inference port."""
        where = urlsplit(self.inference)
        assert where.hostname, "the banner names it"
        assert where.port, "as the host"
        return where.hostname, where.port

    def ask(self, path: str, body: object = None) -> Any:
        """Return what the admin port answers, read as JSON. Raises RuntimeError with its words for a refusal."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", "if-match": "*"} if content is not None else {}
        request = urllib.request.Request(self.admin + path, content, headers)  # noqa: S310 - our own gateway
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            raise RuntimeError(f"{path} answered {exc.code}: {exc.read(2000).decode(errors='replace')}") from exc
        except OSError as exc:
            raise RuntimeError(f"the demo's gateway does not answer: {exc}") from exc


@contextlib.contextmanager
def demo_gateway(models: Path, model: str) -> Iterator[DemoGateway]:
    """Run a gateway with versions 1 and 2 of *model* and one that fails. Raises RuntimeError where none starts."""
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as home:
        _furnish(Path(home), models, model)
        with running(Path(home), "--workers", "2") as gateway:
            yield gateway


@contextlib.contextmanager
def running(home: Path, *flags: str) -> Iterator[DemoGateway]:
    """Run a gateway over *home*, which has its models and routes. Raises RuntimeError where none starts."""
    ports = ["--port", "0", "--admin-port", "0", "--grpc-port", "0"]
    places = ["--models", f"{home}/models", "--routes", f"{home}/routes", "--state-dir", f"{home}/state"]
    command = [sys.executable, "-m", "gateway", "serve", *ports, *places]
    command += ["--log-level", "error", "--drain-delay", "0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment_without_settings())
    try:
        yield _addresses(process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)


def _furnish(home: Path, models: Path, model: str) -> None:
    for version in ("1", "2"):
        shutil.copytree(models / model / version, home / "models" / model / version)
    failing = home / "models" / model / "3"
    failing.mkdir()
    shutil.copyfile(FAILING, failing / "model.onnx")
    (home / "routes").mkdir()
    (home / "routes" / f"{model}.yaml").write_text(
        f'model: {model}\nsplit: {{"1": 100}}\nassign: {{by: "header:x-user-id"}}\nbaseline: "1"\n'
    )


def _addresses(process: subprocess.Popen[str]) -> DemoGateway:
    assert process.stdout is not None
    found: dict[str, str] = {}
    for line in process.stdout:
        match = re.match(r"  (inference|admin) +(http://\S+)", line)
        if match:
            found[match[1]] = match[2]
        if len(found) == 2:
            return DemoGateway(found["inference"], found["admin"])
    raise RuntimeError(f"the demo's gateway ended with exit code {process.wait(STOP_SECONDS)}; see above")
