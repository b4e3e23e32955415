"""Write a bill of materials of each install there is: CycloneDX 1.6, made from its lock. Equal locks give equal bytes.

python -m tools.sbom [DIRECTORY]
"""

from __future__ import annotations

import json
import sys
import tomllib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gateway
from tools.licences import here, licence_of
from tools.packages import DEVELOPMENT, IMAGE, ROOT, RUNTIME, locked, needs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from tools.packages import Package

DIRECTORY: Final = ROOT / "build"
NAME: Final = "canary-gateway"

EVERY: Final = frozenset({"*"})
"""Stands for all extras."""

INSTALLS: Final = {
    "sbom.cdx.json": (RUNTIME, frozenset({"grpc"})),
    "sbom-image.cdx.json": (IMAGE, frozenset({"grpc", "otel", "s3", "signing"})),
    "sbom-all.cdx.json": (DEVELOPMENT, EVERY),
}
"""File → the lock that it is made from, and the extras in that: a default install, the image, and every extra."""


def bill(packages: Sequence[Package], extras: AbstractSet[str]) -> dict[str, Any]:
    """Return the document of an install with *extras*. Raises LookupError where it is not what is installed here."""
    among = {each.name for each in packages}
    own = _purl(NAME, gateway.__version__)
    refs = {each.name: _purl(each.name, each.version) for each in packages}
    wanted = {refs[each.name]: sorted({refs[name] for name in needs(each, among)}) for each in packages}
    direct = sorted(refs[name] for name in asked_for(extras) if name in refs)
    content: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": NAME,
                "version": gateway.__version__,
                "purl": own,
                "licenses": [{"expression": "Apache-2.0"}],
            },
        },
        "components": [_component(each, refs[each.name]) for each in packages],
        "dependencies": [
            {"ref": own, "dependsOn": direct},
            *({"ref": ref, "dependsOn": others} for ref, others in wanted.items()),
        ],
    }
    name = json.dumps(content, sort_keys=True)
    return {**content, "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, name).urn}


def asked_for(extras: AbstractSet[str]) -> set[str]:
    """Return the names of what an install with *extras* asks for itself, its build backend included."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = told["project"]
    texts = [*project["dependencies"], *told["build-system"]["requires"]]
    for extra, more in project["optional-dependencies"].items():
        texts += more if extra in extras or extras is EVERY else ()
    return {canonicalize_name(Requirement(text).name) for text in texts}


def _component(package: Package, ref: str) -> dict[str, Any]:
    """Return one package. A lock names several files for it, one per platform; any of them may be what is installed."""
    files = [{"alg": "SHA-256", "content": each} for each in package.hashes]
    return {
        "type": "library",
        "bom-ref": ref,
        "name": package.name,
        "version": package.version,
        "purl": ref,
        "licenses": [{"expression": licence_of(package.name, package.installed())}],
        "externalReferences": [{"type": "distribution", "url": ref, "hashes": files}],
    }


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def main(arguments: Sequence[str]) -> int:
    """Write the files."""
    directory = Path(arguments[0]) if arguments else DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    for name, (lock, extras) in INSTALLS.items():
        content = json.dumps(bill(here(locked(lock)), extras), indent=1) + "\n"
        (directory / name).write_text(content, encoding="utf-8")
        print(f"wrote {directory / name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
