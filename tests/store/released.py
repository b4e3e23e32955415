"""The source of released gateways, out of the history of this repository.

A release is the last commit on the way to this one whose changelog begins with it: what came before the next release
was opened. A checkout without that history, a shallow one or an archive, has none.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
CHANGELOG: Final = "CHANGELOG.md"
HEADING: Final = re.compile(r"^## \[([^]]+)\]", re.MULTILINE)


def before_this(count: int) -> list[str]:
    """Return the *count* releases before what is here, the newest first."""
    headings: list[str] = HEADING.findall((ROOT / CHANGELOG).read_text(encoding="utf-8"))
    return headings[1 : 1 + count]


def source_of(release: str, directory: Path) -> Path:
    """Put the package of *release* below *directory*, and return its PYTHONPATH. Skips where there is no history."""
    commit = next((each for each in _commits() if _newest_in(each) == release), "")
    if not commit:
        pytest.skip(f"the history of this repository does not reach back to release {release}; fetch all of it")
    root = directory / release
    root.mkdir()
    archive = subprocess.run(["git", "archive", commit, "gateway"], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "x", "-C", str(root)], input=archive.stdout, check=True)
    return root


def _commits() -> Iterator[str]:
    """Yield the commits of the main line that changed the changelog, newest first; none without git."""
    line = ["git", "rev-list", "--first-parent", "HEAD", "--", CHANGELOG]
    try:
        yield from subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return


def _newest_in(commit: str) -> str:
    shown = subprocess.run(["git", "show", f"{commit}:{CHANGELOG}"], cwd=ROOT, capture_output=True, check=True).stdout
    found = HEADING.search(shown.decode("utf-8"))
    return found.group(1) if found else ""
