"""Says what KServe's own models find wrong with its manifests. Runs in .venv-kserve, with nothing of ours.

The SDK's models are made of the same description as its custom resource definitions: which members there are, of which
types, and which must be there. Prints one JSON object: path -> findings.
usage: kserve_judge.py MANIFEST …
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from kserve import models as kserve_models
from kubernetes.client import models as kubernetes_models

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "bool": bool, "object": object, "datetime": str}
LIST = re.compile(r"list\[(.+)\]", re.IGNORECASE)
DICT = re.compile(r"dict[(\[]str, (.+)[)\]]", re.IGNORECASE)


def model_of(name: str) -> Any:
    """Return the model that a type's name means; Kubernetes' own types are described by Kubernetes."""
    found = getattr(kserve_models, name, None) or getattr(kubernetes_models, name, None)
    if found is None:
        raise SystemExit(f"neither KServe nor Kubernetes has a model {name!r}; is .venv-kserve what the lock names?")
    return found


def problems(value: Any, kind: str, where: str) -> Iterator[str]:
    """Yield what is wrong with *value*, which is to be of the type *kind*, in the words of its place."""
    if inside := LIST.fullmatch(kind) or DICT.fullmatch(kind):
        yield from _of_items(value, inside, where)
    elif kind in PLAIN:
        is_number_for_switch = isinstance(value, bool) and kind not in {"bool", "object"}
        if not isinstance(value, PLAIN[kind]) or is_number_for_switch:
            yield f"{where}: {value!r} is no {kind}"
    elif not isinstance(value, dict):
        # Quantities, ports and times are written as text or a number, and their types are no objects.
        if kind not in {"ResourceQuantity", "IntOrString"}:
            yield f"{where}: {value!r} is no {kind}"
    else:
        yield from _of_members(value, model_of(kind), where)


def _of_items(value: Any, inside: re.Match[str], where: str) -> Iterator[str]:
    kind = list if inside.re is LIST else dict
    if not isinstance(value, kind):
        yield f"{where}: {value!r} is no {kind.__name__}"
        return
    for place, item in dict(enumerate(value)).items() if isinstance(value, list) else value.items():
        yield from problems(item, inside[1], f"{where}[{place}]")


def _of_members(value: dict[str, Any], model: Any, where: str) -> Iterator[str]:
    types = {written: model.openapi_types[name] for name, written in model.attribute_map.items()}
    names = {written: name for name, written in model.attribute_map.items()}
    for member, held in value.items():
        if member not in types:
            yield f"{where}.{member}: {model.__name__} has no such member"
        else:
            yield from problems(held, types[member], f"{where}.{member}")
    try:
        model(**{names[member]: held for member, held in value.items() if member in names})
    except ValueError as exc:  # how the models say that a member is missing, or not one of its values
        yield f"{where}: {exc}"


def _of_manifest(thing: dict[str, Any]) -> Iterator[str]:
    version = thing["apiVersion"].rpartition("/")[2].capitalize()
    return problems(thing, f"{version}{thing['kind']}", thing["kind"])


def main(paths: list[str]) -> None:
    """Judge every manifest."""
    print(json.dumps({path: list(_of_manifest(yaml.safe_load(Path(path).read_text()))) for path in paths}))


if __name__ == "__main__":
    main(sys.argv[1:])
