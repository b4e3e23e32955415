"""A version's ``metadata.yaml`` as it is written: nothing empty, nothing that the gateway's own reader would refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from gateway.models.metadata import parse_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping


def described(members: Mapping[str, Any]) -> bytes:
    """Return *members* as YAML, in their order, without the empty ones. Raises InvalidModel for what is no metadata."""
    kept = {name: plain(value) for name, value in members.items() if value not in ("", [], {}, ())}
    text = yaml.dump(kept, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True).encode()
    parse_metadata(text)  # what a worker would refuse is never published
    return text


def plain(value: Any) -> Any:
    """Return *value* without tuples, which YAML has not, and without infinities, which JSON has not."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


class _Dumper(yaml.SafeDumper):
    """Writes equal lists out twice: the gateway's own reader takes no references."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base's
        return True
