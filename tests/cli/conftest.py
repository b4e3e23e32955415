"""The command line against a real admin port: the application of tests/control, served by uvicorn in a thread."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import uvicorn

from gateway.cli.main import main
from gateway.control.admin import create_admin
from tests.control.fakes import House, no_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


class Terminal:
    """Runs commands against one gateway."""

    def __init__(self, url: str, captured: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._captured = captured

    def run(self, *words: str) -> Result:
        code = main([*words])
        seen = self._captured.readouterr()
        return Result(code, seen.out, seen.err)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def url(house: House) -> Iterator[str]:
    """The address of an admin port that serves *house*."""
    app = create_admin(
        house.operations, house.workers, house.door, no_metrics, {},
        describe=lambda model, version: house.described.get((model, version)), lineage=lambda: house.lineage,
        tags=lambda _model, _versions: house.tagged,
        notifications=house.notifications,
        recordings=house.recordings,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def terminal(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("GATEWAY_URL", url)
    monkeypatch.delenv("GATEWAY_TOKEN", raising=False)
    return Terminal(url, capsys)


@pytest.fixture
def routed(terminal: Terminal, tmp_path: Path) -> Terminal:
    """The model ``fraud`` has a route: revision 1, 95/5."""
    path = tmp_path / "set-up.yaml"
    path.write_text('model: fraud\nsplit: {"1": 95, "2": 5}\n', encoding="utf-8")
    assert terminal.run("routes", "apply", "-f", str(path)).code == 0
    return terminal
