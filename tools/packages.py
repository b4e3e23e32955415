"""What a lock file names, and what the installed packages say of themselves. Reads the environment it runs in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

ROOT: Final = Path(__file__).resolve().parent.parent
RUNTIME: Final = ROOT / "requirements.lock"
IMAGE: Final = ROOT / "requirements-image.lock"
DEVELOPMENT: Final = ROOT / "requirements-dev.lock"

PYTHONS: Final = ("3.11.0", "3.11.9", "3.12.1", "3.13.1", "3.14.0")
"""Those that locks tell apart, and the rest of them stand for."""

_LINE: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*])?==(?P<version>[^\s;]+)\s*(?:;(?P<marker>[^\\]*))?")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Package:
    """One entry of a lock. *hashes*: the SHA-256 of each file that may be installed for it."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def is_for_here(self) -> bool:
        """Say whether it is installed on this platform and this Python."""
        return not self.marker or Marker(self.marker).evaluate()

    def is_for_some_python(self) -> bool:
        """Say whether it is installed on this platform by some Python that the gateway runs on."""
        return not self.marker or any(
            Marker(self.marker).evaluate({"python_full_version": each, "python_version": each.rpartition(".")[0]})
            for each in PYTHONS
        )

    def installed(self) -> Distribution:
        """Return it as it is installed. Raises LookupError where it is not, or in another version."""
        try:
            found = distribution(self.name)
        except PackageNotFoundError:
            raise LookupError(f"{self.name} is locked and not installed; run `make .venv/.dev`") from None
        if found.version != self.version:
            raise LookupError(f"{self.name} is installed as {found.version}, not {self.version}; run `make .venv/.dev`")
        return found


def locked(lock: Path) -> list[Package]:
    """Return what *lock* names, in its order."""
    entries = re.sub(r"\\\n\s*", " ", lock.read_text(encoding="utf-8")).splitlines()
    return [_package(line) for line in entries if _LINE.match(line)]


def needs(package: Package, among: set[str]) -> Iterator[str]:
    """Yield the names, of those *among*, that *package* asks for on this platform, extras included where they are."""
    for text in package.installed().requires or ():
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        extra = re.search(r"""extra\s*==\s*["']([^"']+)""", str(wanted.marker or ""))
        holds = wanted.marker is None or wanted.marker.evaluate({"extra": extra[1] if extra else ""})
        if holds and name in among:
            yield name


def _package(line: str) -> Package:
    match = _LINE.match(line)
    assert match is not None
    marker = (match["marker"] or "").partition(" --hash")[0].strip()
    return Package(canonicalize_name(match["name"]), match["version"], marker, tuple(_HASH.findall(line)))
