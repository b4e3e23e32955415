"""A new operator installs the compose file from the README alone: its commands make every file that is mounted, whoever
reads them can, and Prometheus and Grafana find what they are told of. Without an engine: what a file says is enough.
"""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from gateway.control.auth import Role
from gateway.control.token_file import read_access
from tests.deploy.environment import ROOT

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
PROMETHEUS: Final = (ROOT / "deploy" / "prometheus" / "prometheus.yaml").read_text()
PROVISIONING: Final = ROOT / "deploy" / "grafana" / "provisioning"
BLOCK: Final = re.compile(r"```text\n(TOKEN=.*?)```", re.DOTALL)

needs_promtool: Final = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed; `make programs` installs Debian's prometheus"
)


def commands(page: str) -> str:
    """Return what *page* says to type to install with Compose."""
    [found] = [each for each in BLOCK.findall((ROOT / page).read_text()) if "docker compose up" in each]
    return str(found)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory in which somebody with a strict umask has typed the README's commands up to the first of docker's."""
    (tmp_path / "deploy").mkdir()
    typed = commands("README.md").partition("docker ")[0]
    subprocess.run(["bash", "-euc", f"umask 077\n{typed}"], cwd=tmp_path, check=True, timeout=20)
    return tmp_path


def mounts(service: dict[str, Any]) -> list[tuple[str, PurePosixPath, bool]]:
    """Return what a service mounts: where from, where to, and whether it is read-only."""
    split = [mount.split(":") for mount in service.get("volumes", [])]
    return [(source, PurePosixPath(target), "ro" in flags) for source, target, *flags in split]


def test_the_readme_and_the_page_about_deploying_say_the_same() -> None:
    assert commands("README.md") == commands("docs/deploying.md")


def test_the_commands_make_every_secret_and_whoever_reads_it_can(installed: Path) -> None:
    secrets = {name: each["file"] for name, each in COMPOSE["secrets"].items()}

    assert {each for service in COMPOSE["services"].values() for each in service.get("secrets", [])} == set(secrets)
    for file in secrets.values():
        assert stat.S_IMODE((installed / file).stat().st_mode) & stat.S_IROTH, file
        ignored = subprocess.run(["git", "check-ignore", "-q", file], cwd=ROOT, check=False)
        assert ignored.returncode == 0, f"{file} could be committed"


def test_the_gateway_knows_the_token_that_prometheus_shows_as_a_viewers_and_one_admin(installed: Path) -> None:
    shown = (installed / COMPOSE["secrets"]["metrics-token"]["file"]).read_bytes()
    tokens = read_access(installed / COMPOSE["secrets"]["tokens"]["file"]).tokens

    assert {token.principal.role for token in tokens.values()} == {Role.ADMIN, Role.VIEWER}
    assert tokens[sha256(shown).hexdigest()].principal.role is Role.VIEWER


def test_no_mount_lies_within_a_read_only_one_where_no_engine_can_make_a_place_for_it() -> None:
    for name, service in COMPOSE["services"].items():
        found = mounts(service)
        for _, outer, is_read_only in found:
            inside = [str(target) for _, target, _ in found if target != outer and target.is_relative_to(outer)]
            assert not (is_read_only and inside), (name, str(outer), inside)


def test_prometheus_reads_its_token_and_its_rules_where_they_are_mounted() -> None:
    service, config = COMPOSE["services"]["prometheus"], yaml.safe_load(PROMETHEUS)
    targets = {target: source for source, target, _ in mounts(service)}
    [job] = config["scrape_configs"]

    assert job["authorization"]["credentials_file"] == f"/run/secrets/{service['secrets'][0]}"
    [rules] = config["rule_files"]
    assert list((ROOT / targets[PurePosixPath(rules).parent]).glob(PurePosixPath(rules).name))
    [file] = [each.partition("=")[2] for each in service["command"] if each.startswith("--config.file")]
    assert (ROOT / targets[PurePosixPath(file).parent] / PurePosixPath(file).name).is_file()
    assert {each.partition(":")[0] for each in job["static_configs"][0]["targets"]} <= COMPOSE["services"].keys()


@needs_promtool
def test_promtool_finds_nothing_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    here = PROMETHEUS.replace("/run/secrets/metrics-token", str(tmp_path / "token"))
    here = here.replace("/etc/alerts/", f"{ROOT / 'helm' / 'gateway' / 'files' / 'alerts'}/")
    (tmp_path / "prometheus.yaml").write_text(here)

    done = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yaml"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout


def test_grafana_finds_the_dashboards_and_the_prometheus_that_they_ask() -> None:
    targets = {str(target): source for source, target, _ in mounts(COMPOSE["services"]["grafana"])}
    [provider] = yaml.safe_load((PROVISIONING / "dashboards" / "gateway.yaml").read_text())["providers"]
    [source] = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yaml").read_text())["datasources"]

    assert ROOT / targets["/etc/grafana/provisioning"] == PROVISIONING
    assert list((ROOT / targets[provider["options"]["path"]]).glob("*.json"))
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in COMPOSE["services"]


def test_what_is_mounted_can_be_read_by_every_user() -> None:
    for service in COMPOSE["services"].values():
        for source, _, _ in mounts(service):
            for file in (ROOT / source).rglob("*") if source.startswith("./") else ():
                wanted = stat.S_IROTH | (stat.S_IXOTH if file.is_dir() else 0)
                assert stat.S_IMODE(file.stat().st_mode) & wanted == wanted, file
