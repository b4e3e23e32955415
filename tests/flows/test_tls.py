"""A real gateway that speaks TLS on every port, and gets new certificates without a restart."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import pytest

from gateway.cli.main import main
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, request
from tests.flows.test_grpc import INFER, free_port, message
from tests.processes.certificates import Authority, serial_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

ROLLED_SECONDS = 20.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def ask(url: str, client: ssl.SSLContext, path: str, body: object = None) -> tuple[int, Any]:
    """Send one request on a connection of its own, and return the status and the JSON of the answer."""
    where = urlsplit(url)
    assert where.hostname is not None
    connection = http.client.HTTPSConnection(where.hostname, where.port, timeout=15, context=client)
    try:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def shown(url: str) -> int:
    """Return the number of the certificate that a port shows."""
    where = urlsplit(url)
    assert where.hostname is not None
    assert where.port is not None
    return serial_of(ssl.get_server_certificate((where.hostname, where.port), timeout=10))


def test_every_port_speaks_tls_and_a_hangup_brings_new_certificates(
    begin: Callable[..., Gateway],
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cert, key = authority.issue("server")
    mine = authority.issue("caller")
    caller, port = authority.client(mine), free_port()
    flags = {
        "tls-cert": cert, "tls-key": key, "admin-tls-cert": cert, "admin-tls-key": key,
        "admin-tls-client-ca": authority.path, "grpc-port": port,
    }  # fmt: skip
    gateway = begin(
        flags=[part for name, value in flags.items() for part in (f"--{name}", str(value))],
        has_store=False,
    )
    first = serial_of(cert.read_bytes())
    credentials = grpc.ssl_channel_credentials(authority.path.read_bytes())

    assert gateway.inference.startswith("https://")
    assert ask(gateway.inference, authority.client(), f"/v2/models/{MODEL}/infer", request([1, 2]))[0] == 200
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        assert channel.unary_unary(INFER)(message(), timeout=10)
    assert ask(gateway.admin, caller, "/api/v1/models")[1]["models"][0]["name"] == MODEL
    with pytest.raises(OSError):  # noqa: PT011 - which of TLS's errors depends on who is faster
        ask(gateway.admin, authority.client(), "/api/v1/models")

    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    command = ["models", "list", "--url", gateway.admin]
    assert main([*command, "--client-cert", str(mine[0]), "--client-key", str(mine[1])]) == 0
    assert MODEL in capsys.readouterr().out
    assert main(command) != 0
    assert "--client-cert" in capsys.readouterr().err

    control = gateway.control_pid()
    key.write_text("broken")
    gateway.signal(signal.SIGHUP)
    eventually(lambda: "all workers are replaced" in gateway.stderr(), ROLLED_SECONDS, "rolled in spite of a bad key")
    assert "the certificates read before stay in force" in gateway.stderr()
    assert ask(gateway.inference, authority.client(), "/v2/health/live")[0] == 200

    assert gateway.control_pid() == control

    second = serial_of(authority.issue("server")[0].read_bytes())
    gateway.signal(signal.SIGHUP)
    urls = [gateway.inference, f"https://127.0.0.1:{port}", gateway.admin]
    eventually(lambda: [shown(url) for url in urls] == [second] * 3, ROLLED_SECONDS, "the new certificate on each port")
    eventually(lambda: control not in gateway.left(), ROLLED_SECONDS, "the control process of before is gone")

    assert second != first
    assert ask(gateway.admin, caller, "/api/v1/models")[0] == 200
