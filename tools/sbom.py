"""Write a bill of materials of a default install: CycloneDX 1.6, made from the lock. Equal locks give equal bytes.

python -m tools.sbom [FILE]
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
from tools.packages import ROOT, RUNTIME, locked, needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.packages import Package

FILE: Final = ROOT / "build" / "sbom.cdx.json"
NAME: Final = "canary-gateway"


def bill(packages: Sequence[Package]) -> dict[str, Any]:
    """Return the document. Raises LookupError where the environment is not what is locked."""
    among = {each.name for each in packages}
    own = _purl(NAME, gateway.__version__)
    refs = {each.name: _purl(each.name, each.version) for each in packages}
    wanted = {refs[each.name]: sorted({refs[name] for name in needs(each, among)}) for each in packages}
    direct = sorted(refs[name] for name in asked_for() if name in refs)
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


def asked_for() -> set[str]:
    """Return the names of what a default install asks for itself, its build backend included."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = told["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["grpc"], *told["build-system"]["requires"]]
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
    """Write the file."""
    to = Path(arguments[0]) if arguments else FILE
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(bill(here(locked(RUNTIME))), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {to}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
