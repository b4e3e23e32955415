"""Write docs/licences.md: under which licence each locked package is, as it says itself.

python -m tools.licences
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tools.packages import DEVELOPMENT, ROOT, RUNTIME, locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import Distribution

    from tools.packages import Package

PAGE: Final = ROOT / "docs" / "licences.md"

DENIED: Final = ("GPL", "AGPL", "LGPL", "SSPL", "BUSL", "EUPL", "CC-BY-NC", "Commons-Clause", "Elastic", "Proprietary")
"""What no package may be under, as beginnings of identifiers: it would bind who ships the gateway, or charge them."""

WORDS: Final = {
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License v2.0": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages write instead of an SPDX identifier → the identifier."""

STATED_ELSEWHERE: Final = {
    "async-timeout": ("Apache-2.0", "its metadata; not every Python installs it"),
    "axe-playwright-python": ("MIT", "its LICENSE file; axe-core in it is MPL-2.0"),
    "python-dateutil": ("Apache-2.0 OR BSD-3-Clause", "its LICENSE file: a dual licence"),
    "skops": ("MIT", "its LICENSE file"),
    "uvloop": ("Apache-2.0 OR MIT", "its README: a dual licence"),
}
"""A package whose metadata does not say, or says less → what it is under, and who says so."""

HEAD: Final = """# Licences

The gateway is under Apache-2.0. Made from the metadata of the installed packages by `python -m tools.licences`; a test
compares the page with the locks, and fails where a package says nothing or is under one of
{denied}.
MPL-2.0 binds who changes the files of that package, not who ships them with others.
"""


class UnknownLicence(Exception):
    """A package does not say what it is under; look, and add it to STATED_ELSEWHERE."""


def licence_of(name: str, found: Distribution) -> str:
    """Return the SPDX expression of an installed package. Raises UnknownLicence."""
    if name in STATED_ELSEWHERE:
        return STATED_ELSEWHERE[name][0]
    if expression := _first(found, "License-Expression"):
        return expression
    classifiers = found.metadata.get_all("Classifier") or ()
    classified = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License")]
    text = _first(found, "License")
    for words in ([text] if text else [], [each for each in classified if each in WORDS]):
        known = [WORDS.get(each, each) for each in words]
        if known and all(re.fullmatch(r"[A-Za-z0-9.+-]{2,40}", each) for each in known):
            return " OR ".join(dict.fromkeys(known))
    raise UnknownLicence(f"{name} says {text[:60]!r} and {classified}; look, and add it to STATED_ELSEWHERE")


def _first(found: Distribution, member: str) -> str:
    return str((found.metadata.get_all(member) or [""])[0]).strip()


def denied(expression: str) -> bool:
    """Say whether every way to use what is under *expression* is under something DENIED; with brackets, any way."""
    ways = [expression] if "(" in expression else expression.split(" OR ")
    return all(any(part.startswith(DENIED) for part in re.findall(r"[A-Za-z0-9.+-]+", way)) for way in ways)


def page() -> str:
    """Return the whole page. Raises LookupError where the environment is not what is locked, and UnknownLicence."""
    runtime = anywhere(locked(RUNTIME))
    others = {name: each for name, each in anywhere(locked(DEVELOPMENT)).items() if name not in runtime}
    return "\n".join(
        [
            HEAD.format(denied=", ".join(DENIED)),
            "## What a default install runs",
            "",
            *_table(runtime),
            "",
            "## What extras and tests add",
            "",
            *_table(others),
            "",
        ]
    )


def here(packages: Iterable[Package]) -> list[Package]:
    """Return those that are installed on Linux, sorted by name."""
    return sorted((each for each in packages if each.is_for_here()), key=lambda each: each.name)


def anywhere(packages: Iterable[Package]) -> dict[str, list[Package]]:
    """Return by name, sorted, those that Linux and some Python install, in each version that there is for one."""
    found: dict[str, list[Package]] = {}
    for each in sorted(packages, key=lambda each: each.name):
        if each.is_for_some_python():
            found.setdefault(each.name, []).append(each)
    return found


def _table(packages: Mapping[str, list[Package]]) -> list[str]:
    rows = [
        f"| {name} | {' or '.join(each.version for each in versions)} | {_licence(name, versions)} |"
        for name, versions in packages.items()
    ]
    return ["| package | version | licence |", "|---|---|---|", *rows]


def _licence(name: str, versions: list[Package]) -> str:
    """Return what the version that is installed here says; one that some Python alone installs is stated elsewhere."""
    if name in STATED_ELSEWHERE:
        return STATED_ELSEWHERE[name][0]
    return next(licence_of(name, each.installed()) for each in versions if each.is_for_here())


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
