"""``gateway context``: which gateway is meant, and that its token goes nowhere else."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from gateway.cli.client import connect
from gateway.cli.contexts import Context, Contexts, contexts_file, read_contexts, write_contexts
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.main import main, parser_for
from gateway.settings import configuration_directory

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.cli.client import Client
    from tests.cli.conftest import Terminal

TWO = Contexts({"prod": Context("http://prod:1"), "test": Context("http://test:2")}, "prod")


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own contexts, and no variable that names a gateway."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("GATEWAY_URL", "GATEWAY_TOKEN", "GATEWAY_CONTEXT", "GATEWAY_ADMIN_HOST", "GATEWAY_ADMIN_PORT"):
        monkeypatch.delenv(name, raising=False)


def meant(*words: str) -> Client:
    """Return the client that ``models list`` with *words* speaks through."""
    return connect(parser_for("models").parse_args(["models", "list", *words]))


@pytest.mark.parametrize(
    ("words", "environ", "url"),
    [
        ([], {}, "http://prod:1"),
        (["--context", "test"], {}, "http://test:2"),
        ([], {"GATEWAY_CONTEXT": "test"}, "http://test:2"),
        (["--context", "prod"], {"GATEWAY_CONTEXT": "test"}, "http://prod:1"),
        ([], {"GATEWAY_URL": "http://env:3"}, "http://env:3"),
        ([], {"GATEWAY_URL": "http://env:3", "GATEWAY_CONTEXT": "test"}, "http://env:3"),
        (["--context", "test"], {"GATEWAY_URL": "http://env:3"}, "http://test:2"),
        (["--url", "http://flag:4"], {"GATEWAY_URL": "http://env:3"}, "http://flag:4"),
        ([], {"GATEWAY_ADMIN_PORT": "7000"}, "http://prod:1"),
    ],
)
def test_the_nearest_word_names_the_gateway(
    words: list[str], environ: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_contexts(TWO)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert meant(*words).url == url


def test_without_contexts_this_machine_is_meant() -> None:
    assert meant().url == "http://127.0.0.1:9090"


def test_a_token_of_a_context_goes_to_its_own_address_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("secret-of-prod\n", encoding="utf-8")
    write_contexts(Contexts({"prod": Context("http://prod:1", tmp_path / "token")}, "prod"))

    own, flagged = meant().token, meant("--url", "http://elsewhere:1").token
    monkeypatch.setenv("GATEWAY_URL", "http://elsewhere:1")

    assert (own, flagged, meant().token) == ("secret-of-prod", None, None)


def test_a_token_that_is_given_wins_over_that_of_a_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kept", "given"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    write_contexts(Contexts({"prod": Context("http://prod:1", tmp_path / "kept")}, "prod"))
    monkeypatch.setenv("GATEWAY_TOKEN", "from-the-environment")

    assert meant().token == "from-the-environment"
    assert meant("--token-file", str(tmp_path / "given")).token == "given"


@pytest.mark.parametrize("words", [["--context", "nobody"], ["--url", "http://x:1", "--context", "prod"]])
def test_a_gateway_that_is_not_known_or_named_twice_is_wrong_usage(words: list[str]) -> None:
    write_contexts(TWO)

    with pytest.raises(CommandMisused):
        meant(*words)


def test_the_file_is_for_its_owner_alone_and_holds_no_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text("hunter2", encoding="utf-8")

    assert main(["context", "add", "prod", "--url", "http://prod:1", "--token-file", str(tmp_path / "token")]) == 0

    file = contexts_file()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "hunter2" not in file.read_text(encoding="utf-8") + capsys.readouterr().out
    assert [each.name for each in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_is_not_believed(mode: int) -> None:
    write_contexts(TWO)
    contexts_file().chmod(mode)

    with pytest.raises(CommandFailed, match="chmod 600"):
        read_contexts()


@pytest.mark.parametrize("text", ["", "[]", '{"contexts": {"a": 1}}', '{"contexts": {"a b": {"url": "http://x"}}}'])
def test_a_file_that_holds_something_else_is_refused_with_what_to_do(text: str) -> None:
    write_contexts(TWO)
    contexts_file().write_text(text, encoding="utf-8")

    with pytest.raises(CommandFailed, match="remove it"):
        read_contexts()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    written = Contexts({"a": Context("http://a:1", tmp_path), "b": Context("https://b:2")}, "b")
    write_contexts(written)

    assert read_contexts() == written


def test_contexts_are_added_chosen_listed_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> list[dict[str, object]]:
        assert main(["context", *words, "--json"]) == 0
        found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
        return found

    first = run("add", "prod", "--url", "http://prod:1")
    run("add", "test", "--url", "http://test:2")
    chosen = run("use", "test")
    left = run("remove", "test")

    assert [each["current"] for each in first] == [True]
    assert [each["name"] for each in chosen if each["current"]] == ["test"]
    files = dict.fromkeys(("token_file", "client_cert", "client_key"))
    assert left == run("list") == [{"name": "prod", "url": "http://prod:1", **files, "current": False}]


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["context", "add", "prod", "--url", "http://prod:1", "--dry-run"]) == 0

    assert "http://prod:1" in capsys.readouterr().out
    assert not contexts_file().exists()


@pytest.mark.parametrize(
    "words",
    [
        ["add", "a/b", "--url", "http://x:1"],
        ["add", "", "--url", "http://x:1"],
        ["add", "a", "--url", "ftp://x"],
        ["add", "a", "--url", "http://me:hunter2@x:1"],
        ["use", "nobody"],
        ["remove", "nobody"],
    ],
)
def test_what_cannot_be_kept_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["context", *words]) == 2

    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err


def test_a_command_speaks_to_the_context_in_use(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_URL")
    terminal.run("context", "add", "here", "--url", terminal.url)

    assert terminal.run("models", "list").code == 0


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "/c/canary-gateway"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/canary-gateway"),
        ({"HOME": "/h"}, "/h/.config/canary-gateway"),
    ],
)
def test_the_file_lies_where_the_desktop_standard_says(environ: dict[str, str], path: str) -> None:
    assert str(configuration_directory(environ)) == path
