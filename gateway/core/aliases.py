"""Names for versions: those that operators give in a route, and the two that every route has.

An alias pins as a number does and takes part in no split. What it points to is looked up per request, so
callers that say ``champion`` follow the route without being told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidDocument, UnknownAlias
from gateway.core.members import at, shown, step_of
from gateway.core.splits import version_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.document import RouteDocument

MAX_ALIASES: Final = 100

STABLE: Final = "stable"
CANARY: Final = "canary"
RESERVED: Final = frozenset({STABLE, CANARY})
"""What every route has: its baseline, and the one other version that gets traffic."""

ALIAS: Final = re.compile(r"[a-zA-Z0-9_]{1,64}", re.ASCII)
"""What TensorFlow Serving takes as a version's label, at a bounded length."""


def aliases_of(data: object) -> Mapping[str, int]:
    """Return *data* as an immutable mapping alias → version, ascending by name. Raises InvalidDocument."""
    if not isinstance(data, Mapping):
        raise InvalidDocument("", f'{shown(data)} maps no names to versions; write such as {{"champion": "2"}}')
    if len(data) > MAX_ALIASES:
        raise InvalidDocument("", f"{len(data)} aliases are too many; name at most {MAX_ALIASES}")
    aliases: dict[str, int] = {}
    for name, version in data.items():
        with at(step_of(name)):
            if not isinstance(name, str) or not ALIAS.fullmatch(name):
                raise InvalidDocument("", f"{shown(name)} is no alias; use up to 64 letters, digits and underscores")
            if name in RESERVED:
                raise InvalidDocument("", "follows from the route by itself; choose another name")
            aliases[name] = version_of(version)
    return MappingProxyType(dict(sorted(aliases.items())))


def resolve(route: RouteDocument, alias: str, candidates: Sequence[int] = ()) -> int:
    """Return the version that *alias* points to under *route*. Raises UnknownAlias, which says why to none.

    *candidates*: those of the rollout under way; the only one is the canary at whatever weight.
    """
    if alias == STABLE:
        return route.baseline
    if alias == CANARY:
        return _only(route, candidates or _weighted(route))
    version = route.aliases.get(alias)
    if version is None:
        known = ", ".join([STABLE, CANARY, *route.aliases])
        raise UnknownAlias(route.model, alias, f"is no alias of its route, which has {known}")
    return version


def _weighted(route: RouteDocument) -> list[int]:
    return [version for version, weight in route.split.items() if weight and version != route.baseline]


def _only(route: RouteDocument, candidates: Sequence[int]) -> int:
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UnknownAlias(route.model, CANARY, "points nowhere: no version beside the baseline has weight")
    several = ", ".join(map(str, candidates))
    raise UnknownAlias(route.model, CANARY, f"may be version {several}; name one by its number")
