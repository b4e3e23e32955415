"""The image, built and run: what it may, what it holds, and that it goes without losing a request."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.deploy.engine import CAN_MAKE_A_BASE, Engine, engine
from tests.store.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(1500)]

IMAGE: Final = "localhost/canary-gateway:test"
BODY: Final = json.dumps(
    {"inputs": [{"name": "input", "shape": [1, 30], "datatype": "FP32", "data": [1.0] * 30}]}
).encode()
RESTRICTED: Final = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
LIMITS: Final = ("--ulimit", "nofile=8192:8192", "--ulimit", "nproc=4096:4096")
"""What an engine sets otherwise is more than a sandbox may be given."""
LARGEST_MB: Final = 300
"""What the image may add to its base; it was 263 MB."""


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[Engine, str]]:
    """An engine and the base that IMAGE was built on."""
    storage = Path(tempfile.mkdtemp(prefix="gateway-image-"))
    found = engine(storage)
    try:
        if found is None:
            pytest.skip("no container engine answers; with root and Debian: apt-get install podman runc debootstrap")
        if found.is_podman and not CAN_MAKE_A_BASE:
            pytest.skip("podman answers, and debootstrap or root is missing, without which there is no base image")
        base = found.base()
        found.build(IMAGE, base)
        yield found, base
    finally:
        if found is not None:
            found.forget(storage)


@contextmanager
def running(docker: Engine, *options: str) -> Iterator[tuple[str, int]]:
    """Yield the name of a container of the image on the host's network, and its port, once it is ready."""
    port, admin = free_port(), free_port()
    ports = {"GATEWAY_PORT": port, "GATEWAY_ADMIN_PORT": admin, "GATEWAY_GRPC_PORT": 0, "GATEWAY_WORKERS": 1}
    environment = [word for name, value in ports.items() for word in ("--env", f"{name}={value}")]
    name = f"gateway-{port}"
    docker.run("run", "-d", "--name", name, "--network", "host", *RESTRICTED, *LIMITS, *environment, *options, IMAGE)
    try:
        until = time.monotonic() + 60
        while not is_ready(port):
            assert time.monotonic() < until, docker.run("logs", name, check=False).stderr
            time.sleep(0.2)
        yield name, port
    finally:
        docker.run("rm", "-f", name, check=False)


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def inside(docker: Engine, name: str, script: str) -> str:
    """Return what a shell in the container prints."""
    return docker.run("exec", name, "sh", "-c", script).stdout.strip()


def test_it_runs_as_a_number_with_nothing_that_a_container_can_do_without(built: tuple[Engine, str]) -> None:
    docker, _ = built
    with running(docker) as (name, _):
        status = dict(line.split(":\t", 1) for line in inside(docker, name, "cat /proc/1/status").splitlines())
        written = inside(docker, name, "for d in / /etc /opt/gateway /srv/models; do touch $d/x 2>&1; done; true")
        own = inside(docker, name, "touch /var/lib/gateway/x && stat -c '%u %a' /var/lib/gateway")

    assert (status["Uid"].split(), status["Gid"].split()) == (["10001"] * 4, ["10001"] * 4)
    assert {int(status[each], 16) for each in ("CapPrm", "CapEff", "CapBnd")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert written.count("Read-only file system") == 4
    assert own == "10001 700"


def test_its_health_check_says_how_it_is(built: tuple[Engine, str]) -> None:
    docker, _ = built
    (image,) = json.loads(docker.run("inspect", "--type", "image", IMAGE).stdout)
    kind, *command = (image if docker.is_podman else image["Config"])["Healthcheck"]["Test"]
    assert kind == "CMD"
    with running(docker) as (name, _):
        good = docker.run("exec", name, *command, check=False).returncode
        control = docker.run("exec", "--env", "GATEWAY_PORT=1", name, *command, check=False).returncode

    assert good == 0
    assert control != 0


def test_the_doctor_in_it_finds_nothing_wrong(built: tuple[Engine, str]) -> None:
    docker, _ = built
    with running(docker) as (name, _):
        said = docker.run("exec", name, "gateway", "doctor").stdout

    assert "fail" not in said.split()


def test_a_stopped_container_answers_what_is_under_way_and_ends_with_0(built: tuple[Engine, str]) -> None:
    docker, _ = built
    head = b"POST /v2/models/breast-cancer/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    with running(docker, "--env", "GATEWAY_DRAIN_DELAY=2s") as (name, port):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as caller:
            caller.sendall(head + BODY[:20])
            stop = subprocess.Popen([*docker.command, "stop", "-t", "60", name], stdout=subprocess.DEVNULL)
            until = time.monotonic() + 20
            while is_ready(port):
                assert time.monotonic() < until
                time.sleep(0.1)
            caller.sendall(BODY[20:])
            answer = caller.recv(65536)
        assert stop.wait(timeout=60) == 0
        ended = docker.run("inspect", "-f", "{{.State.ExitCode}}", name).stdout.strip()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert ended == "0"


def test_it_holds_what_serves_and_nothing_of_how_it_was_made(built: tuple[Engine, str]) -> None:
    docker, _ = built
    unwanted = (
        "name tokens.yaml",
        "name .git",
        "name '*.key'",
        "path '*/bin/*gcc*'",
        "path '/src/*'",
        "path '/opt/*/pip'",
    )
    control = "/opt/gateway/bin/gateway"
    search = f"find / -xdev \\( -{' -o -'.join((*unwanted, f'path {control}'))} \\) -print 2>/dev/null; true"
    extras = "import cryptography, fsspec, hpack, opentelemetry.sdk, s3fs, gateway; print(gateway.__file__)"
    with running(docker) as (name, _):
        found = inside(docker, name, search)
        package = docker.run("exec", name, "python", "-c", extras).stdout.strip()

    assert found == control
    assert package.startswith("/opt/gateway/lib/")


def test_it_is_no_larger_than_it_was(built: tuple[Engine, str]) -> None:
    docker, base = built
    whole, below = (
        json.loads(docker.run("inspect", "--type", "image", each).stdout)[0]["Size"] for each in (IMAGE, base)
    )

    assert 100e6 < whole - below < LARGEST_MB * 1e6
