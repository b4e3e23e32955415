"""The certificate that commands show to an admin port that wants one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from gateway.cli.client import connect
from gateway.cli.client_certificate import ClientCertificate
from gateway.cli.contexts import Context, Contexts, read_contexts, write_contexts
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.main import main, parser_for
from tests.processes.certificate_door import answering
from tests.processes.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.cli.client import Client


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own contexts, and no variable that names a gateway."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("GATEWAY_URL", "GATEWAY_TOKEN", "GATEWAY_CONTEXT", "GATEWAY_ADMIN_TLS_CERT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    return made


def meant(*words: object) -> Client:
    """Return the client that ``models list`` with *words* speaks through."""
    return connect(parser_for("models").parse_args(["models", "list", *map(str, words)]))


def test_a_port_that_wants_a_certificate_is_shown_the_one_of_the_flags(authority: Authority) -> None:
    cert, key = authority.issue("me")

    with answering(authority) as (port, asked):
        meant("--url", f"https://127.0.0.1:{port}", "--client-cert", cert, "--client-key", key).get()

    assert asked == ["/api/v1/models"]


def test_a_key_may_lie_in_the_file_of_its_certificate(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("me")
    both = tmp_path / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())

    with answering(authority) as (port, asked):
        meant("--url", f"https://127.0.0.1:{port}", "--client-cert", both).get()

    assert asked


def test_whoever_shows_none_is_told_which_flags_do(authority: Authority) -> None:
    with answering(authority) as (port, asked), pytest.raises(CommandFailed, match="give --client-cert"):
        meant("--url", f"https://127.0.0.1:{port}").get()

    assert asked == []


def test_whom_a_certificate_is_shown_to_is_checked_all_the_same(authority: Authority, tmp_path: Path) -> None:
    foreign = Authority(tmp_path, "foreign")
    cert, key = authority.issue("me")

    with answering(foreign) as (port, asked), pytest.raises(CommandFailed, match=r"verify failed.*SSL_CERT_FILE"):
        meant("--url", f"https://127.0.0.1:{port}", "--client-cert", cert, "--client-key", key).get()

    assert asked == []


def test_a_context_keeps_the_files_of_its_certificate(authority: Authority) -> None:
    cert, key = authority.issue("me")

    with answering(authority) as (port, asked):
        words = ["--url", f"https://127.0.0.1:{port}", "--client-cert", str(cert), "--client-key", str(key)]
        assert main(["context", "add", "prod", *words]) == 0
        meant().get()

    assert read_contexts().known["prod"].certificate == ClientCertificate(cert, key)
    assert asked == ["/api/v1/models"]


def test_the_certificate_of_a_context_goes_to_its_own_address_only(authority: Authority) -> None:
    kept = ClientCertificate(*authority.issue("me"))
    with answering(authority) as (port, _):
        address = f"https://127.0.0.1:{port}"
        write_contexts(Contexts({"prod": Context(address, certificate=kept)}, "prod"))

        with pytest.raises(CommandFailed, match="give --client-cert"):
            meant("--url", address).get()


def test_a_certificate_that_is_given_wins_over_that_of_a_context(authority: Authority, tmp_path: Path) -> None:
    given = authority.issue("given")
    with answering(authority) as (port, asked):
        gone = ClientCertificate(tmp_path / "gone.crt")
        write_contexts(Contexts({"prod": Context(f"https://127.0.0.1:{port}", certificate=gone)}, "prod"))

        meant("--client-cert", given[0], "--client-key", given[1]).get()

    assert asked


def test_files_that_are_no_certificate_are_named(authority: Authority, tmp_path: Path) -> None:
    (mine, _), (_, others) = authority.issue("mine"), authority.issue("others")
    hidden = authority.issue("hidden", b"secret")
    empty = tmp_path / "empty.pem"
    empty.write_text("")

    for cert, key, told in (
        (tmp_path / "gone.crt", others, "No such file"),
        (mine, others, "key values mismatch"),
        (*hidden, "the key has a password"),
        (empty, others, "nothing in it that is PEM|no start line"),
    ):
        with pytest.raises(CommandMisused, match=re.escape(cert.name)) as caught:
            meant("--url", "https://localhost:1", "--client-cert", cert, "--client-key", key)
        assert re.search(told, str(caught.value))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--client-key", "key"], "without --client-cert"),
        (["--url", "http://127.0.0.1:1", "--client-cert", "cert"], "https:// only"),
    ],
    ids=["a key alone", "plain text"],
)
def test_a_certificate_that_would_not_be_shown_is_refused(words: list[str], told: str) -> None:
    with pytest.raises(CommandMisused, match=told):
        meant(*words)
