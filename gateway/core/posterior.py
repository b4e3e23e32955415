"""The chance that one share is higher than another: a posterior, for people who ask in those words.

No verdict rests on it, for it is not valid at every moment. Where the weights of a route follow its labels (``bandit``)
it is what they follow.
"""

from __future__ import annotations

from bisect import bisect_left
from math import exp, log, log1p, prod, sqrt
from typing import TYPE_CHECKING, Final

from gateway.core.confidence import PRIOR
from gateway.core.eprocess import ln_beta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.confidence import Arm

POINTS: Final = 4_000
"""Where a density is looked at. Its errors are below 1e-4, see the tests."""

FEWER_POINTS: Final = 300
"""The same where many arms are compared. Errors are below 2e-3."""

DEVIATIONS: Final = 9.0
TAIL: Final = 30.0
"""The density is followed for so many standard deviations, and until its tails are e**-30 of it."""


def chance_higher(first: Arm, second: Arm) -> float:
    """Return the chance that the second arm's rate is the higher one, in [0, 1].

    Both rates are independent, with Jeffreys' prior Beta(½, ½): the mixture of ``confidence`` is of the same.
    """
    ours, theirs = (beta_chances(PRIOR + arm.gains, PRIOR + arm.trials - arm.gains) for arm in (first, second))
    places, below = _summed(ours)
    return min(1.0, sum(chance * _up_to(place, places, below) for place, chance in theirs))


def chances_best(arms: Sequence[Arm]) -> list[float]:
    """Return each arm's chance that its rate is the highest of all *arms*, as ``chance_higher`` does; they sum to 1."""
    densities = [beta_chances(PRIOR + arm.gains, PRIOR + arm.trials - arm.gains, FEWER_POINTS) for arm in arms]
    sums = [_summed(density) for density in densities]
    found = []
    for own, density in enumerate(densities):
        others = sums[:own] + sums[own + 1 :]
        found.append(sum(chance * prod(_up_to(place, *other) for other in others) for place, chance in density))
    whole = sum(found)
    return [chance / whole for chance in found]


def _summed(density: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the places of *density*, and the chance below each of them and below the end."""
    below = [0.0]
    for _, chance in density:
        below.append(below[-1] + chance)
    return [place for place, _ in density], below


def beta_chances(a: float, b: float, points: int = POINTS) -> list[tuple[float, float]]:
    """Return *points* places along the log odds of a share, ascending and equally far apart, and the chance of each.

    The share's distribution is Beta(*a*, *b*), both positive. Along the log odds its density has no poles: it is
    ``e^(a t) / (1 + e^t)^(a + b) / B(a, b)``, log-concave, with tails that fall as e^(a t) and e^(-b t).
    """
    mode, deviation = log(a / b), sqrt(1 / a + 1 / b)
    low = mode - DEVIATIONS * deviation - TAIL / a
    high = mode + DEVIATIONS * deviation + TAIL / b
    step = (high - low) / points
    places = [low + step * (number + 0.5) for number in range(points)]
    constant = log(step) - ln_beta(a, b)
    return [(place, exp(constant + a * place - (a + b) * _softplus(place))) for place in places]


def _softplus(place: float) -> float:
    """Return ln(1 + e^place), for large places too."""
    return place + log1p(exp(-place)) if place > 0 else log1p(exp(place))


def _up_to(place: float, places: list[float], below: list[float]) -> float:
    """Return the chance up to *place*: *below* those in front of each of *places*, half of one that lies there."""
    step = places[1] - places[0]
    number = bisect_left(places, place - step / 2)
    if number == len(places):
        return below[-1]
    inside = min(1.0, max(0.0, (place - places[number]) / step + 0.5))
    return below[number] + inside * (below[number + 1] - below[number])
