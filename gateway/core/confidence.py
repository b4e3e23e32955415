"""How far two shares can be apart, by intervals that hold at every moment: look as often as you like.

An arm is a total of gains, each in [0, 1], over its trials; each trial's expectation, given all before it, is the arm's
rate. For the true rate p the mixture ``∫ θ^s (1−θ)^(n−s) dBeta(θ) / (p^s (1−p)^(n−s))`` is a martingale for gains of 0
and 1, and a supermartingale for others, because ``a^x b^(1−x)`` is convex in x. By Ville's inequality it ever exceeds
1/α with probability at most α. The rates that it has not excluded are therefore a confidence sequence, and so are those
pairs of rates that the product of two arms' mixtures has not: whatever the order in which the arms' trials come.

Everything is a function of totals, and exact up to bisection. Nothing here knows what is counted.

Source: Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals
of Statistics 49(2), 2021, arXiv 1810.08240 (mixtures; sub-Bernoulli); Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting", JRSS B 86(1), 2024, arXiv 2010.09686 (the bets that such a mixture makes).
"""

from __future__ import annotations

from math import exp, inf, log, log1p
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.eprocess import ln_beta

if TYPE_CHECKING:
    from collections.abc import Callable

PRIOR: Final = 0.5
"""Both parameters of the mixture's beta distribution, which is Jeffreys' prior of a share."""

HALVINGS: Final = 40
"""Bisections of an end of an interval: 1e-12 of where it began is left, on the side that makes it wider."""

NARROWINGS: Final = 45
"""Golden sections of a minimum: 4e-10 of the range is left, and the minimum is flat."""

GOLDEN: Final = (5**0.5 - 1) / 2

LN_MOST_RATIO: Final = log(1e12)
"""Ratios are looked for up to this and its inverse; what is beyond is unbounded."""

LN_LEAST_RATE: Final = -80.0
"""Where the walk over rates begins for a ratio."""


class Arm(NamedTuple):
    """What was seen of one version: *gains*, a sum of numbers in [0, 1], over *trials* of them, 0 or more."""

    gains: float
    trials: float

    @property
    def rate(self) -> float | None:
        """The mean gain; None without trials."""
        return self.gains / self.trials if self.trials else None


class Interval(NamedTuple):
    """Everything from *low* to *high*; an end that nothing bounds is −inf or inf."""

    low: float
    high: float


def ln_excluded(arm: Arm, rate: float) -> float:
    """Return ln of the mixture against "the arm's rate is *rate*", in [0, 1]; inf where that is impossible."""
    losses = arm.trials - arm.gains
    if (arm.gains and rate <= 0) or (losses and rate >= 1):
        return inf
    likelihood = (arm.gains * log(rate) if arm.gains else 0.0) + (losses * log1p(-rate) if losses else 0.0)
    return ln_beta(PRIOR + arm.gains, PRIOR + losses) - ln_beta(PRIOR, PRIOR) - likelihood


def rates(arm: Arm, alpha: float) -> Interval:
    """Return the rates that are not excluded at *alpha*, in (0, 1): the true one is outside ever with chance alpha."""
    if arm.rate is None:
        return Interval(0.0, 1.0)
    return _around(lambda rate: ln_excluded(arm, rate), arm.rate, 0.0, 1.0, log(1 / alpha))


def difference(first: Arm, second: Arm, alpha: float) -> Interval:
    """Return the second rate less the first one, at *alpha*; it holds together with ``ratio``.

    A difference is excluded where all pairs of rates that far apart are.
    """
    if first.rate is None or second.rate is None:
        return Interval(-1.0, 1.0)
    return _around(lambda apart: ln_apart(first, second, apart), second.rate - first.rate, -1.0, 1.0, log(1 / alpha))


def ln_apart(first: Arm, second: Arm, apart: float) -> float:
    """Return ln of the least product of both mixtures over rates p and p + *apart*, which is in [-1, 1].

    The product is log-convex in the pair of rates: golden section finds its least value, which is convex in *apart*.
    """
    return _least(
        lambda rate: ln_excluded(first, rate) + ln_excluded(second, rate + apart), max(0.0, -apart), min(1.0, 1 - apart)
    )


def ratio(first: Arm, second: Arm, alpha: float) -> Interval:
    """Return the second rate over the first one, at *alpha*: from 0 to inf, where nothing bounds it.

    Walked over the logarithm of the rates, in which the product is log-convex too.
    """
    if not first.gains and not second.gains:
        return Interval(0.0, inf)

    def excluded(ln_ratio: float) -> float:
        return _least(
            lambda ln_rate: ln_excluded(first, exp(ln_rate)) + ln_excluded(second, exp(ln_rate + ln_ratio)),
            LN_LEAST_RATE,
            min(0.0, -ln_ratio),
        )

    if not (first.gains and second.gains):
        middle = LN_MOST_RATIO if second.gains else -LN_MOST_RATIO
    else:
        middle = log(second.gains / second.trials) - log(first.gains / first.trials)
    low, high = _around(excluded, middle, -LN_MOST_RATIO, LN_MOST_RATIO, log(1 / alpha))
    return Interval(0.0 if low <= -LN_MOST_RATIO else exp(low), inf if high >= LN_MOST_RATIO else exp(high))


def _around(excluded: Callable[[float], float], middle: float, least: float, most: float, limit: float) -> Interval:
    """Return where the convex *excluded* is below *limit*, within [*least*, *most*]; it is at *middle*."""
    return Interval(_end(excluded, middle, least, limit), _end(excluded, middle, most, limit))


def _end(excluded: Callable[[float], float], inside: float, outside: float, limit: float) -> float:
    if excluded(outside) < limit:
        return outside
    for _ in range(HALVINGS):
        half = (inside + outside) / 2
        if excluded(half) < limit:
            inside = half
        else:
            outside = half
    return outside


def _least(of: Callable[[float], float], low: float, high: float) -> float:
    """Return the least value of the convex *of* between *low* and *high*; inf is a value."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = of(left), of(right)
    for _ in range(NARROWINGS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = of(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = of(right)
    return min(at_left, at_right)
