"""The recipe of the image, the compose file and KServe's manifests: what can be said of them without building."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from typing import Any, Final

import pytest
import yaml

from gateway import __version__
from gateway.settings import from_environment
from tests.deploy.environment import BIN, ROOT, needs_ops

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())

needs_engine: Final = pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0,
    reason="there is no container engine here",
)


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


def test_the_gateways_of_the_compose_file_have_settings_that_can_be_read() -> None:
    for name in ("gateway-1", "gateway-2"):
        settings = from_environment({}, COMPOSE["services"][name]["environment"])
        assert settings.redis_url == "redis://redis:6379/0"
        assert settings.drain_delay + settings.request_timeout < 60


def test_kserve_is_told_of_this_release_and_of_settings_that_can_be_read() -> None:
    runtime = yaml.safe_load((ROOT / "deploy" / "kserve" / "serving-runtime.yaml").read_text())
    service = yaml.safe_load((ROOT / "deploy" / "kserve" / "inference-service.yaml").read_text())
    (container,) = runtime["spec"]["containers"]

    assert container["image"] == f"canary-gateway:{__version__}"
    assert service["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"]
    given = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith("GATEWAY_")}
    assert str(from_environment({}, given).models) == "/mnt/models"


@needs_engine
@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_image_is_built_answers_and_drains() -> None:
    tag = "canary-gateway:test"
    subprocess.run(["docker", "build", "-t", tag, ROOT], check=True)
    run = ["docker", "run", "-d", "--rm", "--read-only", "--tmpfs", "/tmp", "--stop-timeout", "60", tag]
    container = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    try:
        state = ["docker", "inspect", "-f", "{{.State.Health.Status}}", container]
        until = time.monotonic() + 60
        while subprocess.run(state, check=True, capture_output=True, text=True).stdout.strip() != "healthy":
            assert time.monotonic() < until
            time.sleep(0.5)
    finally:
        stopped = subprocess.run(["docker", "stop", container], check=False, env=dict(os.environ))
    assert stopped.returncode == 0
