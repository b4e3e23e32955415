"""Where a version comes from: when, by whom, from which source and data, with which libraries."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.convert.errors import CannotConvert
from gateway.core.errors import InvalidSettings
from gateway.core.lineage import InvalidLineage, VersionName, read_parent
from gateway.models.pedigree import Pedigree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GIT_SECONDS: Final = 5.0


def now() -> str:
    """Return the time in UTC, to the second, as metadata writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def creator() -> str:
    """Return the name of the user who runs this, or the number where it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def source_revision(directory: Path) -> str:
    """Return the git commit that *directory* lies in, with ``-dirty`` where files were changed since; else empty."""
    git = shutil.which("git")
    if git is None:
        return ""
    commit = _git(git, directory, "rev-parse", "--verify", "HEAD")
    if commit is None or re.fullmatch(r"[0-9a-f]{40,64}", commit) is None:
        return ""
    changed = _git(git, directory, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changed else commit


def _git(git: str, directory: Path, *words: str) -> str | None:
    """Return what git says, None where it fails. A file system monitor that the repository names is not started."""
    try:
        done = subprocess.run(
            [git, "-c", "core.fsmonitor=false", "-C", str(directory), *words],
            capture_output=True, check=True, text=True, timeout=GIT_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()


def check_parents(models: Path, child: str, parents: Sequence[str]) -> None:
    """Refuse *parents* of the next version of the model *child* that are not below *models*, or come from it.

    Each is ``NAME/VERSION``, or ``NAME/VERSION:RELATION``. Raises CannotConvert.
    """
    if not parents:
        return
    try:
        named = [read_parent(text) for text in parents]
        lineage = Pedigree(models)()
        highest = max((name.version for name in lineage.parents if name.model == child), default=0)
        lineage.check_new(VersionName(child, highest + 1), named)
    except (InvalidLineage, InvalidSettings) as exc:
        raise CannotConvert(f"--parent: {exc}; name versions of the repository that --models names") from exc
