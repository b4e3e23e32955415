"""How the command line answers to what is wrong, and how fast it is there."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.cli import client
from gateway.cli.errors import CommandFailed
from gateway.cli.main import NOUNS, main
from gateway.settings import client_from_environment
from tests.control.fakes import FakeDoor, House

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--frobnicate"], "--frobnicate"),
        (["routes", "show", "fraud", "--frobnicate"], "--frobnicate"),
        (["models", "list", "--js"], "--js"),
        (["rutes"], "rutes"),
        (["routes", "frobnicate"], "frobnicate"),
        (["routes", "show"], "MODEL"),
        (["weights", "set", "fraud"], "VERSION=WEIGHT"),
        (["weights", "set", "fraud", "1:5"], "1:5"),
        (["weights", "set", "fraud", "01=5"], "01=5"),
        (["weights", "set", "fraud", "1=5", "1=7"], "version 1"),
        (["weights", "set", "fraud", "1=-5"], "1=-5"),
        (["weights", "set", "fraud", "1=2.5"], "1=2.5"),
        (["routes", "explain", "fraud", "ann", "--with", "acme"], "acme"),
        (["routes", "apply", "-f", "/nowhere/at/all"], "/nowhere/at/all"),
        (["models", "list", "--url", "ftp://x"], "ftp://x"),
        (["models", "list", "--url", "http://x:99999"], "http://x:99999"),
        (["models", "list", "--token-file", "/nowhere/token"], "/nowhere/token"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_names_what_is_wrong(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(words)

    assert (code, named in capsys.readouterr().err) == (2, True)


def test_the_bare_command_shows_every_noun(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2

    text = capsys.readouterr().err
    assert [noun for noun in NOUNS if noun not in text] == []


def test_help_shows_every_noun(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    text = capsys.readouterr().out
    assert [noun for noun in NOUNS if noun not in text] == []


def test_without_a_gateway_the_command_says_how_to_start_one(
    closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["models", "list", "--url", f"http://127.0.0.1:{closed_port}"])

    said = capsys.readouterr()
    assert (code, said.out) == (1, "")
    assert "is the gateway running?" in said.err
    assert "`gateway serve`" in said.err
    assert len(said.err.splitlines()) == 1


def test_what_is_no_gateway_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        script = (
            "import socket,sys\ns=socket.socket(fileno=int(sys.argv[1]))\nc,_=s.accept()\nc.recv(9999)\n"
            "c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello')\nc.close()"
        )
        with subprocess.Popen([sys.executable, "-c", script, str(listener.fileno())], pass_fds=[listener.fileno()]):
            code = main(["models", "list", "--url", f"http://127.0.0.1:{port}"])

    assert (code, "no gateway's admin port" in capsys.readouterr().err) == (1, True)


def test_a_gateway_that_hangs_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hanging = client.Client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.05)

        with pytest.raises(CommandFailed, match=r"did not answer within 0\.05 s"):
            hanging.get()


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://127.0.0.1:9090"),
        ({"GATEWAY_ADMIN_PORT": "7000"}, "http://127.0.0.1:7000"),
        ({"GATEWAY_ADMIN_HOST": "0.0.0.0"}, "http://127.0.0.1:9090"),
        ({"GATEWAY_ADMIN_HOST": "::1"}, "http://[::1]:9090"),
        ({"GATEWAY_ADMIN_HOST": "gw", "GATEWAY_URL": "http://other:1"}, "http://other:1"),
    ],
)
def test_the_gateway_is_found_by_the_environment(environ: dict[str, str], url: str) -> None:
    assert client_from_environment(environ).url == url


class TestWithTokens:
    """Against a gateway that asks for a token."""

    @pytest.fixture
    def house(self) -> House:
        return House(FakeDoor())

    def test_a_token_comes_from_the_environment(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        without = terminal.run("models", "list")
        monkeypatch.setenv("GATEWAY_TOKEN", "viewer")

        assert (without.code, terminal.run("models", "list").code) == (1, 0)

    def test_a_token_comes_from_a_file(self, terminal: Terminal, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("operator\n", encoding="utf-8")

        assert terminal.run("models", "list", "--token-file", str(file)).code == 0

    def test_a_viewer_is_told_which_role_is_needed(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GATEWAY_TOKEN", "viewer")

        result = terminal.run("weights", "set", "fraud", "1=1")

        assert (result.code, "needs the role operator" in result.err) == (1, True)

    @pytest.mark.parametrize("token", ["hunter2", "hunter2\nx: y", "hünter2"])
    def test_a_token_is_never_shown(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
        monkeypatch.setenv("GATEWAY_TOKEN", token)

        for words in (["models", "list"], ["doctor", "--json"], ["routes", "apply", "-f", "."]):
            result = terminal.run(*words)

            assert "nter2" not in result.out + result.err


def test_the_command_line_imports_no_server() -> None:
    heavy = ["yaml", "starlette", "uvicorn", "redis", "numpy", "onnxruntime", "orjson", "msgspec", "prometheus_client"]
    script = (
        "import sys, json\nfrom gateway.cli.main import main\n"
        "main(['routes', 'show', 'x', '--url', 'http://127.0.0.1:1'])\nprint(json.dumps(sorted(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert set(json.loads(done.stdout)) & set(heavy) == set()


@pytest.mark.parametrize("noun", ["models", "routes", "weights", "versions"])
def test_the_help_of_a_noun_imports_few_modules(noun: str) -> None:
    """Modules, for seconds depend on the machine. What only one verb needs is imported when that verb runs."""
    script = (
        f"import sys, json\nfrom gateway.cli.main import main\nmain([{noun!r}, '--help'])\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('gateway.')]))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert len(json.loads(done.stdout.splitlines()[-1])) <= 40


def test_the_package_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("gateway 0.")
