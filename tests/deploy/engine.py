"""A container engine of this machine, docker or podman, and an image that it built of the Dockerfile.

Podman keeps what it makes in a directory of its own, which is gone afterwards; docker keeps its cache.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.deploy.environment import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CAN_MAKE_A_BASE: Final = os.geteuid() == 0 and any(
    shutil.which("debootstrap", path=path) for path in (None, "/usr/sbin")
)
"""Whether scripts/base-image can stand in for a registry."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How the engine is called: its program and the options that every call has."""

    command: tuple[str, ...]

    @property
    def is_podman(self) -> bool:
        return self.command[0] == "podman"

    def run(self, *words: str | Path, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Return what came of a command; its output is text. Raises CalledProcessError where *check* and it failed."""
        # Without systemd podman says at each start that it keeps no timer for health checks: the tests ask themselves.
        environment = {**os.environ, "DISABLE_HC_SYSTEMD": "true"}
        return subprocess.run(
            [*self.command, *words], check=check, capture_output=True, text=True, timeout=timeout, env=environment
        )

    def build(self, tag: str, base: str) -> None:
        """Build the Dockerfile on *base*; the network is the host's, as pip needs it."""
        docker_format = ["--format", "docker"] if self.is_podman else []  # OCI's has no HEALTHCHECK
        options = ["--network", "host", "--build-arg", f"BASE={base}", "-t", tag]
        done = self.run("build", *docker_format, *options, ROOT, timeout=600, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]

    def base(self) -> str:
        """Return an image to build on: the one that the Dockerfile names, or one that scripts/base-image made."""
        named = next(
            line.removeprefix("ARG BASE=")
            for line in (ROOT / "Dockerfile").read_text().splitlines()
            if line.startswith("ARG BASE=")
        )
        if self.run("pull", named, timeout=300, check=False).returncode == 0:
            return named
        done = subprocess.run(
            [ROOT / "scripts" / "base-image", "localhost/canary-gateway-base:test"],
            env={**os.environ, "ENGINE": " ".join(self.command)},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    def forget(self, storage: Path) -> None:
        """Take away what podman keeps in *storage*, mounts and all; docker keeps its cache for the next build."""
        if self.is_podman:
            self.run("rmi", "--all", "--force", check=False, timeout=120)
            subprocess.run(["umount", storage / "storage" / "overlay"], check=False, capture_output=True, timeout=30)
        with contextlib.suppress(OSError):
            shutil.rmtree(storage)


def engine(storage: Path) -> Engine | None:
    """Return an engine that answers, docker first, or None. Podman keeps what it makes in *storage*."""
    podman = ["podman", "--root", f"{storage}/storage", "--runroot", f"{storage}/run", "--cgroup-manager", "cgroupfs"]
    if shutil.which("runc"):  # crun refuses a machine that has both kinds of cgroups
        podman += ["--runtime", "runc"]
    for command in (["docker"], podman if os.geteuid() == 0 else ["podman"]):
        if shutil.which(command[0]) is None:
            continue
        found = Engine(tuple(command))
        if found.run("info", check=False).returncode == 0:
            return found
    return None
