"""The judgement of a rollout: from totals to a verdict, and equal totals give equal verdicts anywhere.

One alpha bounds the chance that a healthy canary is ever taken back: the guards' e-processes are averaged by weights
that sum to 1, and an average of e-processes is one, whatever their dependence. Nothing here moves a weight.
"""

from __future__ import annotations

from math import ceil, exp, inf, log
from typing import TYPE_CHECKING, Final

from gateway.core.eprocess import (
    LABEL_GAINS,
    has_collapsed,
    ln_absolute,
    ln_certificate,
    ln_mismatch,
    ln_paired,
    ln_relative,
    ln_slow,
    ln_sum,
    stability,
)
from gateway.core.guards import WEIGHTS
from gateway.core.latency import SLOW
from gateway.core.quantities import written_percent
from gateway.core.verdicts import Certificate, Kind, Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.core.evidence import Arms, Evidence
    from gateway.core.guards import Guard
    from gateway.core.plan import Plan

FLOOR: Final = 3
"""Below so many failures of the canary its e-value is capped at 1: the first seconds are one-sided, because a canary's
failures arrive sooner than a baseline's time-outs."""

HOLD_FROM: Final = 10.0
DISAGREE_FROM: Final = 20.0
MISMATCH_FROM: Final = 1000.0
CERTIFIED_FROM: Final = 20.0
DRIFT_FROM: Final = 0.25
LEAST_OUTPUTS: Final = 1000
COMMON_RATE: Final = 0.05
COMMON_REQUESTS: Final = 100
FATAL_DEATHS: Final = 2
LARGEST: Final = 1e300
"""E-values are shown up to here, so that JSON and metrics can carry them."""
FARTHEST: Final = 1 << 40
"""Canary requests beyond which no decision is in sight."""


def assess(
    evidence: Evidence,
    plan: Plan,
    arms: Arms,
    *,
    certify: float,
    alpha: float | None = None,
    since: int = 0,
    tripped: bool = False,
) -> Verdict:
    """Return what the guards of *plan* say of the canary of *arms*, from totals alone, in about a millisecond.

    certify: the failure rate to exclude, fixed when the rollout started. alpha: the plan's unless given; a rollout of
    m canaries gives each alpha / m, a worker's breaker takes a hundredth. since: the first revision of the current
    step, from which ``min_units`` are counted. tripped: a breaker had three bad probes.
    """
    logs = {guard.name: ln_guard(evidence, arms, guard) for guard in plan.guards if guard.name in WEIGHTS}
    alpha = plan.alpha if alpha is None else alpha
    judge = _Judge(evidence, plan, arms, logs, alpha)
    certificate = certificate_of(evidence, arms, certify)
    kind, reasons = Kind.FAIL, (*judge.fails(tripped=tripped),)
    if not reasons:
        kind, reasons = Kind.HOLD, (*judge.holds(),)
    if not reasons:
        missing = tuple(_missing(evidence, plan, arms, certificate, since))
        kind = Kind.INCONCLUSIVE if missing else Kind.PASS
        reasons = missing or (Reason("certificate", _certified(certificate)),)
    return Verdict(
        kind,
        reasons,
        certificate,
        {name: _shown(value) for name, value in (*logs.items(), ("total", judge.total))},
        judge.thresholds | {"total": 1 / alpha},
        failures=sum(evidence.total(arms.canary, bad) for bad in ("error", "invalid")),
        pairs=evidence.total(arms.canary, "pair_n"),
        requests_to_decision=requests_to_decision(certificate, judge.total, alpha),
        version=arms.canary,
    )


def ln_guard(evidence: Evidence, arms: Arms, guard: Guard) -> float:
    """Return ln E of one of the guards in WEIGHTS.

    Errors and invalid outputs have to be both worse than the baseline's and bad enough to matter: the smaller of two.
    """
    margin = guard.margin or 0.0
    if guard.name == "latency":
        return ln_slow([evidence.strata(arms, kind) for kind in SLOW])
    if guard.name == "labels" and guard.paired:
        return ln_paired(evidence.total(arms.canary, "pair_lost"), evidence.total(arms.canary, "pair_won"))
    if guard.name == "labels":
        return ln_relative(evidence.label_strata(arms), margin=margin, gains=LABEL_GAINS)
    kind = "error" if guard.name == "errors" else "invalid"
    strata = evidence.strata(arms, kind)
    events, requests = evidence.total(arms.canary, kind), evidence.total(arms.canary, "n")
    smaller = min(ln_relative(strata, margin=margin), ln_absolute(events, requests, guard.tolerate or 0.0))
    return smaller if sum(stratum.canary for stratum in strata) >= FLOOR else min(0.0, smaller)


def certificate_of(evidence: Evidence, arms: Arms, certify: float) -> Certificate:
    """Return how far the canary has shown that it fails less than *certify*, over the whole rollout."""
    failed, requests = evidence.total(arms.canary, "failed"), evidence.total(arms.canary, "n")
    return Certificate(_shown(ln_certificate(failed, requests, certify)), CERTIFIED_FROM, certify, failed, requests)


def requests_to_decision(certificate: Certificate, ln_total: float, alpha: float) -> int | None:
    """Return how many more canary requests a certificate or a rollback takes if things go on as they are.

    A forecast for people, from the failure rate and the growth of the evidence so far. 0 where it is decided.
    """
    ways = [_to_certificate(certificate), _to_rollback(certificate.requests, ln_total, alpha)]
    return min((way for way in ways if way is not None), default=None)


class _Judge:
    """The guards' readings of one assessment, and what follows from them."""

    __slots__ = ("alpha", "arms", "evidence", "logs", "plan", "shares", "thresholds", "total")

    def __init__(self, evidence: Evidence, plan: Plan, arms: Arms, logs: Mapping[str, float], alpha: float) -> None:
        self.evidence, self.plan, self.arms, self.logs, self.alpha = evidence, plan, arms, logs, alpha
        self.shares = plan.shares_of_alpha()
        self.thresholds = {name: 1 / (self.shares.get(name, WEIGHTS[name]) * alpha) for name in logs}
        self.total = ln_sum([log(share) + logs[name] for name, share in self.shares.items()]) if self.shares else 0.0

    def fails(self, *, tripped: bool) -> Iterator[Reason]:
        """Yield why the canary has to be taken back."""
        if self.total >= log(1 / self.alpha):
            worst = max(self.shares, key=lambda name: log(self.shares[name]) + self.logs[name])
            yield Reason(worst, f"E {_number(self.total)} of all guards has reached {_number(log(1 / self.alpha))}, "
                         f"most of it here with E {_number(self.logs[worst])}; {self._counted(worst)}")  # fmt: skip
        if tripped:
            yield Reason("breaker", "a worker's breaker opened and three probes failed")
        deaths = self._deaths()
        if deaths >= FATAL_DEATHS:
            yield Reason("deaths", f"{deaths} workers died while they ran version {self.arms.canary}")
        if self._enforce("outputs") == "rollback" and self._collapsed():
            yield Reason("outputs", self._collapse())

    def holds(self) -> Iterator[Reason]:
        """Yield why the canary must not be moved."""
        if self.total >= log(HOLD_FROM):
            yield Reason("total", f"E {_number(self.total)} of all guards is {HOLD_FROM:g} or more: suspicious")
        for name, value in self.logs.items():
            if self._enforce(name) == "hold" and value >= log(self.thresholds[name]):
                yield Reason(name, f"E {_number(value)} has reached {self.thresholds[name]:.4g}; {self._counted(name)}")
        if self._deaths() == 1:
            yield Reason("deaths", f"a worker died while it ran version {self.arms.canary}")
        yield from self._output_holds()
        mismatch = ln_mismatch(self.evidence.assignments(self.arms))
        if mismatch >= log(MISMATCH_FROM):
            yield Reason("assignment", f"E {_number(mismatch)}: units are not assigned as the slots say; the router "
                         "is at fault, not the version")  # fmt: skip
        yield from self._common_mode()

    def _output_holds(self) -> Iterator[Reason]:
        if self._enforce("outputs") != "off":
            canary, baseline = (self.evidence.outputs(version) for version in (self.arms.canary, self.arms.baseline))
            if self._enforce("outputs") == "hold" and self._collapsed():
                yield Reason("outputs", self._collapse())
            drift = stability(canary, baseline)
            if min(sum(canary), sum(baseline)) >= LEAST_OUTPUTS and drift > DRIFT_FROM:
                yield Reason("drift", f"the outputs' stability index {drift:.3f} is over {DRIFT_FROM}")
        if self.plan.shadow is not None:
            differ, pairs = (self.evidence.total(self.arms.canary, kind) for kind in ("differ", "pair_n"))
            disagreement = ln_absolute(differ, pairs, self.plan.shadow.differ)
            if disagreement >= log(DISAGREE_FROM):
                yield Reason("disagreement", f"{differ} of {pairs} shadow pairs differ, E {_number(disagreement)}")

    def _common_mode(self) -> Iterator[Reason]:
        """Yield that both arms fail now: a cause that they share, and no reason to take one of them back."""
        newest = self.evidence.newest()
        rates = []
        for version in (self.arms.canary, self.arms.baseline):
            failed, requests = (self.evidence.total(version, kind, since=newest) for kind in ("failed", "n"))
            rates.append(failed / requests if requests >= COMMON_REQUESTS else 0.0)
        if min(rates) > COMMON_RATE:
            yield Reason("common", f"both versions fail, {rates[0]:.1%} and {rates[1]:.1%}: look for a shared cause")

    def _enforce(self, name: str) -> str:
        guard = self.plan.guard(name)
        return guard.enforce if guard else "off"

    def _deaths(self) -> int:
        return self.evidence.total(self.arms.canary, "deaths")

    def _collapsed(self) -> bool:
        canary, baseline = (self.evidence.outputs(version) for version in (self.arms.canary, self.arms.baseline))
        return has_collapsed(canary, baseline, least=LEAST_OUTPUTS)

    def _collapse(self) -> str:
        return f"version {self.arms.canary} answers nearly everybody alike, the baseline does not"

    def _counted(self, name: str) -> str:
        kinds = {"errors": ("error",), "invalid": ("invalid",), "latency": SLOW, "labels": ("wrong", "pair_lost")}[name]
        canary, baseline = (
            " + ".join(f"{self.evidence.total(version, kind)} {kind}" for kind in kinds)
            for version in (self.arms.canary, self.arms.baseline)
        )
        requests = self.evidence.total(self.arms.canary, "n")
        return f"canary {canary} in {requests} requests, baseline {baseline}"


def _missing(evidence: Evidence, plan: Plan, arms: Arms, certificate: Certificate, since: int) -> Iterator[Reason]:
    """Yield what a pass still lacks."""
    if not certificate.stands:
        yield Reason("certificate", f"not yet certified: {_certified(certificate)}, {CERTIFIED_FROM:g} is needed")
    units = evidence.total(arms.canary, "n", since=since)
    if units < plan.min_units:
        yield Reason("units", f"{units} requests in this step, {plan.min_units} are needed")
    guard = plan.guard("labels")
    least = guard.least or 0 if guard is not None and guard.enforce != "off" else 0
    labelled = evidence.total(arms.canary, "labelled")
    if labelled < least:
        yield Reason("labels", f"{labelled} labelled answers of the canary, {least} are needed")


def _certified(certificate: Certificate) -> str:
    rate = written_percent(certificate.certify)
    return (
        f"{certificate.failed} of {certificate.requests} requests failed, "
        f"E {certificate.e_value:.3g} that fewer than {rate} do"
    )


def _to_certificate(certificate: Certificate) -> int | None:
    """Return the least number of further requests, at the failure rate so far, that certifies; None if none does."""
    failed, requests = certificate.failed, certificate.requests
    rate = failed / requests if requests else 0.0

    def stands(more: int) -> bool:
        return ln_certificate(failed + rate * more, requests + more, certificate.certify) >= log(CERTIFIED_FROM)

    high = 1
    while not stands(high):
        high *= 2
        if high > FARTHEST:
            return None
    low = -1 if certificate.stands else 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if stands(middle) else (middle, high)
    return high


def _to_rollback(requests: int, ln_total: float, alpha: float) -> int | None:
    if ln_total <= 0 or not requests:
        return None
    return max(0, ceil(requests * (log(1 / alpha) / ln_total - 1)))


def _shown(logarithm: float) -> float:
    return exp(logarithm) if logarithm < log(LARGEST) else LARGEST


def _number(logarithm: float) -> str:
    return f"{_shown(logarithm):.4g}" if logarithm < inf else "∞"
