"""Where labels ask a split to go: each version's share follows its chance of being the best one.

Thompson sampling without the draw: a request would go to the version that a draw from the posteriors finds best, which
happens as often as the version is the best one; so the weights are those chances, and every request keeps its key's
version. Beside that each version keeps a floor, so that it goes on being measured.

Compared is only within answers of one revision (``cohorts``), where the versions' requests and the ages of their
answers are alike. A version's rate is the mean of its rates in all strata, in the same proportion for every version: no
drift between strata, and no delay, makes a version look better because its share was another then. The proportion is
that of the precision with which a stratum tells the versions apart. A stratum in which one version has no label tells
nothing.

Sources: Thompson, "On the likelihood that one unknown probability exceeds another", Biometrika 25, 1933; Agrawal and
Goyal, "Analysis of Thompson Sampling for the Multi-armed Bandit Problem", COLT 2012, arXiv 1111.1797 (rewards in
[0, 1] by a beta of their sums); Mantel and Haenszel, JNCI 22(4), 1959 (the proportion of the strata).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.core.confidence import Arm
from gateway.core.optimize import LEAST_STEP
from gateway.core.posterior import chances_best
from gateway.core.slots import SLOTS, seats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.cohorts import Stratum
    from gateway.core.optimize import Optimize

LEAST_FRESH: Final = 10
"""Labels of each version under the weights in force, before they are moved again: so every revision tells something."""

FINE: Final = 1 << 30
"""Into so many parts chances are rounded before slots are dealt out by them."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What labels say, and what follows. *split*: version → slots that is asked for now; None: stay.

    *arms* are the versions' labels as they count, *chances* their chances of being the best; empty before the labels
    suffice. *reason*: in words, for history and people.
    """

    arms: Mapping[int, Arm]
    reason: str
    chances: Mapping[int, float] = field(default_factory=dict)
    split: Mapping[int, int] | None = None


def judge(optimize: Optimize, split: Mapping[int, int], revision: int, strata: Sequence[Stratum]) -> Judgement:
    """Return what the labels of *strata* ask of *split*, which is that of *revision*.

    *split* fulfils ``Optimize.check``. Every version keeps the floor and changes by the step at most, exactly; the sum
    stays SLOTS.
    """
    versions = optimize.arms(split)
    arms = pooled(strata, versions)
    few = {version: arms[version].trials for version in versions if arms[version].trials < optimize.min_labels}
    if few:
        return Judgement(arms, f"waits for labels: {_counted(few, optimize.min_labels)}")
    chances = dict(zip(versions, chances_best([arms[version] for version in versions]), strict=True))
    current = {version: slots for version, slots in seats(split).items() if version in versions}
    wanted = towards(current, aim(chances, optimize.floor), optimize.step)
    best = max(versions, key=lambda version: (chances[version], -version))
    said = f"version {best} is the best by {optimize.by} with a chance of {chances[best]:.3f} ({_rated(arms)})"
    if max(abs(wanted[version] - current[version]) for version in versions) < LEAST_STEP:
        return Judgement(arms, f"stays: {said}", chances)
    fresh = {version: _trials_under(revision, version, strata) for version in versions}
    few = {version: trials for version, trials in fresh.items() if trials < LEAST_FRESH}
    if few:
        waits = f"waits for labels of answers under these weights: {_counted(few, LEAST_FRESH)}; {said}"
        return Judgement(arms, waits, chances)
    others = {version: 0 for version in split if version not in versions}
    return Judgement(arms, said, chances, dict(sorted((others | wanted).items())))


def pooled(strata: Sequence[Stratum], versions: Sequence[int]) -> dict[int, Arm]:
    """Return version → its labels as they count over all *strata*.

    Stratum e gets the weight w_e = discount / Σ_v (1 / n_v,e). A version's rate is Σ w_e r_v,e / Σ w_e, and its trials
    are those that would know a rate as precisely: (Σ w_e)² / Σ (w_e² / n_v,e).
    """
    usable = [stratum for stratum in strata if all(_trials(stratum, version) > 0 for version in versions)]
    if not usable:
        return {version: Arm(0.0, 0.0) for version in versions}
    weights = [each.discount / sum(1 / each.arms[version].trials for version in versions) for each in usable]
    total = sum(weights)
    found = {}
    for version in versions:
        arms = [each.arms[version] for each in usable]
        pairs = list(zip(weights, arms, strict=True))
        rate = sum(weight * arm.gains / arm.trials for weight, arm in pairs) / total
        trials = total**2 / sum(weight**2 / arm.trials for weight, arm in pairs)
        found[version] = Arm(min(max(rate, 0.0), 1.0) * trials, trials)
    return found


def aim(chances: Mapping[int, float], floor: int) -> dict[int, int]:
    """Return version → slots: *floor* for each, and what is left by *chances*."""
    shares = {version: round(chance * FINE) for version, chance in chances.items()}
    left = _dealt(SLOTS - floor * len(chances), shares)
    return {version: floor + left[version] for version in chances}


def towards(current: Mapping[int, int], target: Mapping[int, int], step: int) -> dict[int, int]:
    """Return *current* moved as far to *target* as changes no version by more than *step*, all in slots.

    Both name the same versions and have the same sum. No version changes beyond its target, or away from it.
    """
    change = {version: target[version] - current[version] for version in current}
    most = max(abs(each) for each in change.values())
    if most <= step:
        return dict(target)
    shrunk = {version: -each * step // most for version, each in change.items() if each < 0}
    grown = _dealt(sum(shrunk.values()), {version: each for version, each in change.items() if each > 0})
    return {version: slots + grown.get(version, 0) - shrunk.get(version, 0) for version, slots in current.items()}


def _dealt(total: int, shares: Mapping[int, int]) -> dict[int, int]:
    """Return *total* in proportion to *shares*, whole numbers with a positive sum, by largest remainder."""
    whole = sum(shares.values())
    got = {version: total * share // whole for version, share in shares.items()}
    by_remainder = sorted(got, key=lambda version: (-(total * shares[version] % whole), version))
    for version in by_remainder[: total - sum(got.values())]:
        got[version] += 1
    return got


def _trials(stratum: Stratum, version: int) -> float:
    return stratum.arms[version].trials if version in stratum.arms else 0.0


def _trials_under(revision: int, version: int, strata: Sequence[Stratum]) -> float:
    return sum(_trials(each, version) for each in strata if each.revision == revision)


def _counted(few: Mapping[int, float], needed: int) -> str:
    return ", ".join(f"version {version} has {trials:.0f} of {needed}" for version, trials in few.items())


def _rated(arms: Mapping[int, Arm]) -> str:
    return ", ".join(f"{version}: {arm.rate or 0.0:.4f} of {arm.trials:.0f}" for version, arm in arms.items())
