"""The recipe of the image, the compose file and KServe's manifests: what can be said of them without building."""

from __future__ import annotations

import dataclasses
import http.server
import re
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import yaml

from gateway import __version__
from gateway.settings import Settings, from_environment, variable
from tests.deploy.environment import BIN, ROOT, needs_ops
from tests.processes.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())


@needs_ops
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@needs_ops
def test_control_hadolint_finds_an_unpinned_image(tmp_path: Any) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN cd /tmp && ls\n")
    done = subprocess.run([BIN / "hadolint", tmp_path / "Dockerfile"], capture_output=True, text=True, check=False)

    assert done.returncode != 0


def test_the_image_runs_as_a_number_and_hears_signals() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", DOCKERFILE, re.MULTILINE) == ['["gateway"]', '["serve"]']
    assert "HEALTHCHECK" in DOCKERFILE
    assert ":latest" not in DOCKERFILE


def test_the_image_installs_what_the_lock_names_and_nothing_else() -> None:
    installs = [line for line in DOCKERFILE.splitlines() if " install " in line and "pip" in line]

    assert len(installs) == 2
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)


def test_only_what_the_image_copies_goes_to_the_builder() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for source in sources.split()
    }

    assert copied == allowed
    assert all((ROOT / each).exists() for each in copied)


def test_the_image_sets_settings_that_can_be_read() -> None:
    given = dict(re.findall(r"\b(GATEWAY_[A-Z_]+)=(\S+)", DOCKERFILE))

    settings = from_environment({}, given)

    assert settings.host == "0.0.0.0"
    assert settings.admin_host == "127.0.0.1"


@contextmanager
def healthy(certificate: tuple[Path, Path] | None = None, callers: Path | None = None) -> Iterator[int]:
    """Yield a port that answers every request with 200, over TLS where there is a certificate with its key.

    callers: the authority whose certificates callers must show.
    """

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v2/health/live" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None: ...  # who shows no certificate is refused

    with Quiet(("127.0.0.1", 0), Healthy) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            if callers is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(callers)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def is_healthy(port: int, *named: str) -> bool:
    """Run the health check on *port*, with the settings that are *named* set."""
    given = {"GATEWAY_PORT": str(port)} | {f"GATEWAY_{name}": "file" for name in named}
    command = [sys.executable, str(ROOT / "deploy" / "image" / "health.py")]
    return subprocess.run(command, env=given, capture_output=True, check=False).returncode == 0


def test_the_health_check_asks_as_the_settings_say_over_tls_too(tmp_path: Path) -> None:
    with healthy() as plain, healthy(Authority(tmp_path).issue("gateway")) as secured:
        found = [is_healthy(plain), is_healthy(secured, "TLS_CERT"), is_healthy(secured), is_healthy(plain, "TLS_CERT")]

    assert found == [True, True, False, False]


def test_where_callers_show_certificates_the_health_check_looks_whether_it_is_asked_for_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("gateway")
    with healthy(certificate) as open_to_all, healthy(certificate, authority.path) as closed, healthy() as plain:
        found = [is_healthy(port, "TLS_CERT", "TLS_CLIENT_CA") for port in (closed, open_to_all, plain)]

    assert found == [True, False, False]
    assert '"/opt/gateway/health.py"]' in DOCKERFILE


@needs_ops
def test_the_compose_file_is_one() -> None:
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_the_compose_file_mounts_files_that_exist_and_opens_ports_on_this_machine_only() -> None:
    for name, service in COMPOSE["services"].items():
        for mount in service.get("volumes", []):
            if mount.startswith("./"):
                assert (ROOT / mount.split(":")[0]).exists(), (name, mount)
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)
        assert not service.get("image", "x:1").endswith(":latest")


def compose_settings(*, with_examples: bool = False) -> dict[str, str]:
    """Return what deploy/gateway/settings.env sets, and what it shows as an example if that is wanted."""
    sets = re.compile(rf"^{'#?' if with_examples else ''}(GATEWAY_[A-Z_]+)=(.*)$", re.MULTILINE)
    return dict(sets.findall((ROOT / "deploy" / "gateway" / "settings.env").read_text()))


def test_the_gateways_of_the_compose_file_have_settings_that_can_be_read() -> None:
    for name in ("gateway-1", "gateway-2"):
        assert COMPOSE["services"][name]["env_file"] == ["deploy/gateway/settings.env"]
    settings = from_environment({}, compose_settings())

    assert settings.redis_url == "redis://redis:6379/0"
    assert settings.drain_delay + settings.request_timeout < 60


def test_every_setting_stands_in_the_settings_of_the_compose_file_with_a_value_that_can_be_read() -> None:
    shown = compose_settings(with_examples=True)
    of_the_image = {"models", "routes", "state_dir", "host", "port", "grpc_port", "admin_port", "redis_server"}

    from_environment({}, shown)

    assert shown.keys() == {variable(each.name) for each in dataclasses.fields(Settings)} - {
        variable(each) for each in of_the_image
    }


def test_the_memory_of_a_composed_gateway_leaves_room_for_every_worker_and_a_successor() -> None:
    settings = from_environment({}, compose_settings())

    assert COMPOSE["services"]["gateway-1"]["mem_limit"] == "1g"
    assert settings.worker_memory * (settings.workers + 1) <= 0.9 * (1 << 30)


def test_kserve_is_told_of_this_release_and_of_settings_that_can_be_read() -> None:
    runtime = yaml.safe_load((ROOT / "deploy" / "kserve" / "serving-runtime.yaml").read_text())
    service = yaml.safe_load((ROOT / "deploy" / "kserve" / "inference-service.yaml").read_text())
    (container,) = runtime["spec"]["containers"]

    assert container["image"] == f"canary-gateway:{__version__}"
    assert service["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"]
    given = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith("GATEWAY_")}
    settings = from_environment({}, given)
    assert str(settings.models) == "/mnt/models"
    assert settings.drain_delay + settings.request_timeout < 30
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert settings.worker_memory * 3 <= 0.9 * (1 << 30)
