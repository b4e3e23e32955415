"""Which old versions of a model may be removed from the repository.

Pure: the caller says what is there, what is in use and why, and who comes from whom. What is not certain to be
unneeded stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.core.document import RouteDocument
    from gateway.core.lineage import Lineage


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one version: it stays for a *reason*, or goes, where that is empty."""

    version: int
    reason: str

    @property
    def stays(self) -> bool:
        """Say whether the version stays."""
        return bool(self.reason)


def fates(
    model: str, there: Collection[int], *, keep: int, used: Mapping[int, str], lineage: Lineage
) -> tuple[Fate, ...]:
    """Return the fate of each version of *model* that is *there*, ascending.

    The *keep* highest stay, at least one: the next version is numbered after the highest, and no number is used
    twice. So do those in *used*, version → why, and the ancestors of every version that stays, of other models too.
    """
    if keep < 1:
        raise ValueError("at least one version has to stay, so that no number is given twice")
    reasons = dict.fromkeys(sorted(there)[-keep:], f"among the {keep} newest")
    reasons |= {version: why for version, why in used.items() if version in there}
    staying = [name for name in sorted(lineage.parents) if name.model != model or name.version in reasons]
    for child in staying:
        for name in lineage.ancestors([child]):
            if name.model == model and name.version in there:
                reasons.setdefault(name.version, f"an ancestor of {child}")
    return tuple(Fate(version, reasons.get(version, "")) for version in sorted(there))


def in_use(route: RouteDocument | None, in_rollout: Collection[int]) -> Mapping[int, str]:
    """Return version → why it is needed, by the *route* of its model and the versions *in_rollout*, the last one.

    A version that the split or a rule names is in use at weight 0 too: it is there to be gone back to.
    """
    found = dict.fromkeys(in_rollout, "in the last rollout")
    if route is None:
        return found
    found |= {version: f"the alias {alias}" for alias, version in route.aliases.items()}
    found |= dict.fromkeys(route.shadow, "a shadow of the route")
    for number, rule in enumerate(route.rules, start=1):
        found |= dict.fromkeys(rule.split, f"in rule {number} of the route")
    found |= dict.fromkeys(route.split, "in the route's split")
    return found | {route.baseline: "the route's baseline"}
