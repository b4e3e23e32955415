"""The statistics of a rollout: e-processes, as logarithms of functions of totals.

An e-process starts at 1 and, while its null hypothesis holds, exceeds 1/α ever with probability at most α, however
often anyone looks (Ville). Each is a mean over a grid of alternatives, taken over whole products and never inside
them, by log-sum-exp. Revisions and batch classes are strata, each with its own odds: pooled, a drift that both arms
share would look like the canary's fault. Nothing here knows a threshold.

Source: Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022, arXiv 2011.03567; strata:
Turner and Grünwald, "Safe Sequential Testing and Effect Estimation in Stratified Count Data", arXiv 2302.11401.
"""

from __future__ import annotations

from math import exp, fsum, inf, isinf, lgamma, log
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.core.evidence import Stratum

ERROR_GAINS: Final = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
LATENCY_GAINS: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
LABEL_GAINS: Final = (1.1, 1.2, 1.5, 2.0, 3.0, 5.0)
"""How many times the baseline's odds the alternatives say the canary's are."""

EXCESSES: Final = (2, 4, 10, 20, 60, 180)
HIGHEST_RATE: Final = 0.9
"""The alternatives of a tolerated rate ε: min(m · ε, HIGHEST_RATE) for m in EXCESSES, each once, those above ε."""

LOST_SHARES: Final = (0.55, 0.6, 0.7, 0.8, 0.9, 0.99)
CERTIFIED_SHARES: Final = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""The alternatives of a certificate for the rate η: true rates f · η."""

PRIOR_UNITS: Final = 200.0
"""How many assignments the prior of the sample-ratio test is worth."""

COLLAPSED: Final = 0.999
VARIED: Final = 0.9


def ln_mean(logarithms: Sequence[float]) -> float:
    """Return the logarithm of the mean of what *logarithms*, at least one and none NaN, are the logarithms of."""
    return ln_sum(logarithms) - log(len(logarithms))


def ln_sum(logarithms: Sequence[float]) -> float:
    """Return the logarithm of the sum of what *logarithms* are the logarithms of; −∞ for none."""
    highest = max(logarithms, default=-inf)
    if isinf(highest):
        return highest
    return highest + log(fsum(exp(each - highest) for each in logarithms))


def ln_relative(strata: Sequence[Stratum], *, margin: float = 0.0, gains: Sequence[float] = ERROR_GAINS) -> float:
    """Return ln E against "the canary's odds of an event are at most 1 + *margin* times the baseline's".

    ``ln M_g = K_c · ln g − Σ k_i · ln((g·ρ0·o_i + 1) / (ρ0·o_i + 1))``, then the mean over *gains*. Grows with the
    canary's events; falls with the baseline's, and with the odds.
    """
    return ln_mean(_products(strata, margin, gains))


def ln_slow(quantiles: Sequence[Sequence[Stratum]]) -> float:
    """Return ln E of the latency: ``ln_relative`` over the strata of each quantile, and LATENCY_GAINS."""
    return ln_mean([product for strata in quantiles for product in _products(strata, 0.0, LATENCY_GAINS)])


def _products(strata: Sequence[Stratum], margin: float, gains: Sequence[float]) -> list[float]:
    """Return ln M_g for each of *gains*. A stratum of infinite odds tells nothing and is left out."""
    told = [(s.canary + s.baseline, s.odds * (1 + margin)) for s in strata if not isinf(s.odds)]
    canary = sum(s.canary for s in strata if not isinf(s.odds))
    return [
        canary * log(gain) - fsum(events * log((gain * odds + 1) / (odds + 1)) for events, odds in told)
        for gain in gains
    ]


def ln_absolute(events: int, trials: int, tolerate: float) -> float:
    """Return ln E against "at most *tolerate* of the *trials* are events"; *tolerate* is in (0, HIGHEST_RATE).

    Used for errors, invalid outputs and shadow pairs that differ. *events* may be failed runs while *trials* are
    requests, which is conservative; more events than trials count as that many trials.
    """
    rates = sorted({rate for m in EXCESSES if (rate := min(m * tolerate, HIGHEST_RATE)) > tolerate})
    good = max(0, trials - events)
    return ln_mean([events * log(q / tolerate) + good * log((1 - q) / (1 - tolerate)) for q in rates])


def ln_paired(lost: int, won: int) -> float:
    """Return ln E against "the canary is wrong alone at most as often as right alone": McNemar's test, sequential.

    *lost*: the canary wrong and the baseline right on the same request; *won*: the reverse.
    """
    return ln_mean([lost * log(2 * share) + won * log(2 * (1 - share)) for share in LOST_SHARES])


def ln_certificate(failed: float, requests: float, certify: float) -> float:
    """Return ln C against "the canary fails at least *certify*", a rate in (0, 1): high where it does not.

    *failed* of *requests* failed; fractions of a request are let be, so that a forecast can ask.
    """
    good = max(0.0, requests - failed)
    return ln_mean([failed * log(f) + good * log((1 - f * certify) / (1 - certify)) for f in CERTIFIED_SHARES])


def ln_mismatch(assignments: Iterable[tuple[int, int, float]]) -> float:
    """Return ln E against "units are assigned as the slots say".

    assignments: per revision (units of the canary, of both arms, the canary's share w in (0, 1)). A Dirichlet prior
    centred on w is worth PRIOR_UNITS. Source: Lindon and Malek, section 3.
    """
    return fsum(_mismatch(canary, both, share) for canary, both, share in assignments)


def _mismatch(canary: int, both: int, share: float) -> float:
    a, b = PRIOR_UNITS * share, PRIOR_UNITS * (1 - share)
    rest = both - canary
    return ln_beta(a + canary, b + rest) - ln_beta(a, b) - canary * log(share) - rest * log(1 - share)


def ln_beta(a: float, b: float) -> float:
    """Return the logarithm of the beta function; *a* and *b* are positive."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def stability(canary: Sequence[int], baseline: Sequence[int]) -> float:
    """Return the population stability index of two histograms over the same bins: ``Σ (p − q) ln(p / q)``.

    0.5 is added to each count; bins that neither arm has used are left out. No test: its limits are convention.
    """
    used = [(c + 0.5, b + 0.5) for c, b in zip(canary, baseline, strict=True) if c or b]
    all_canary, all_baseline = (sum(counts) for counts in zip(*used, strict=True)) if used else (1.0, 1.0)
    return fsum((c / all_canary - b / all_baseline) * log(c / all_canary * all_baseline / b) for c, b in used)


def has_collapsed(canary: Sequence[int], baseline: Sequence[int], *, least: int) -> bool:
    """Say whether one bin holds over 99.9 % of the canary's outputs and under 90 % of the baseline's.

    Both arms need *least* outputs. No test either: a version that answers everybody alike is broken, not different.
    """
    all_canary, all_baseline = sum(canary), sum(baseline)
    if min(all_canary, all_baseline) < least:
        return False
    return any(c > COLLAPSED * all_canary and b < VARIED * all_baseline for c, b in zip(canary, baseline, strict=True))
