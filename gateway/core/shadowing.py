"""Which requests are copied, and to whom.

A shadow gets copies and answers nobody. Who is copied has nothing to do with who is assigned to which version: it
hangs on another hash of the key, or on other bits of the draw, so copies are a fair sample of every version's requests.
Pure: the caller brings the draw and a way to read the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.phases import Phase
from gateway.core.routing import read_key
from gateway.core.slots import SEPARATOR, SLOTS, hash_point, slot_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.document import RouteDocument
    from gateway.core.rollout import Rollout
    from gateway.core.routing import Explanation, Routing, Values

COPIED_RULES: Final = frozenset({"split", "missing"})
"""What may have chosen the version of a request that is copied: the split, and never a rule or a pin."""

_SALT: Final = b"copy" + SEPARATOR
_LOW_HALF: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Shadow:
    """*version* gets a copy of a request whose ``copy_slot`` is below *slots*, a number up to SLOTS.

    So a request that is copied to 20 percent is among those that are copied to 50. Numbers of an answer and of its
    copy differ where they are more than *tolerance* apart. Pairs with answers of *judged_by* are evidence for the
    rollout; None: none are.
    """

    version: int
    slots: int
    tolerance: float = 0.0
    judged_by: int | None = None


def shadows_of(document: RouteDocument, rollout: Rollout | None) -> tuple[Shadow, ...]:
    """Return who gets copies under *document*, ascending by version, and the candidates of a *rollout* that shadows.

    That is also one that stands still on its way through its shadow phase: only more pairs can clear it. A
    candidate gets what the document or the plan gives it, whichever is more.
    """
    found = {
        version: Shadow(version, percent * SLOTS // 100) for version, percent in document.shadow.items() if percent
    }
    if rollout is not None and rollout.goal is Phase.SHADOW and rollout.plan.shadow is not None:
        phase = rollout.plan.shadow
        for candidate in rollout.live:
            wanted = found[candidate].slots if candidate in found else 0
            slots = max(wanted, round(phase.share * SLOTS))
            found[candidate] = Shadow(candidate, slots, phase.tolerance, rollout.baseline)
    return tuple(found[version] for version in sorted(found))


def copy_slot(routing: Routing, values: Values, draw: int) -> int:
    """Return the slot in [0, SLOTS) that says to whom a request is copied.

    draw: integer in [0, 2**64), the one that ``Routing.decide`` got; its low half is used where there is no key. A
    sticky route copies a key always or never, on every worker and replica.
    """
    if routing.source is not None:
        key = read_key(values(routing.source.kind, routing.source.name), routing.source)
        if key:
            return key_copy_slot(routing, key)
    return slot_of((draw & _LOW_HALF) << 32)


def key_copy_slot(routing: Routing, key: bytes) -> int:
    """Return the slot in [0, SLOTS) that says to whom all requests of *key* are copied."""
    return slot_of(hash_point(routing.prefix + _SALT + key))


def copied_percents(routing: Routing, shadows: Sequence[Shadow], explained: Explanation) -> dict[int, float]:
    """Return the percent of the requests that *explained* is about that each of *shadows* gets copies of.

    Of one key of a sticky route that is all or nothing; what a rule takes is never copied, nor what the shadow answers.
    """
    if explained.rule not in COPIED_RULES:
        return {}
    others = [shadow for shadow in shadows if shadow.version != explained.version]
    if routing.source is None or not explained.key:
        return {shadow.version: shadow.slots * 100 / SLOTS for shadow in others}
    slot = key_copy_slot(routing, explained.key)
    return {shadow.version: 100.0 if slot < shadow.slots else 0.0 for shadow in others}
