"""What the guards say of a rollout, as a value that can be shown, stored and compared."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Kind(StrEnum):
    """What a verdict asks for, the first that holds: FAIL, HOLD, PASS, INCONCLUSIVE."""

    FAIL = "FAIL"
    """Take the canary back."""
    HOLD = "HOLD"
    """Do not move it."""
    PASS = "PASS"  # noqa: S105 - no password
    """Certified: it may go on."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """Not enough evidence. Never a pass."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: the *guard*'s name as metrics and history carry it, and a sentence with the numbers."""

    guard: str
    text: str

    def __str__(self) -> str:
        return f"{self.guard}: {self.text}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """How far the canary has shown that it fails less than the rate *certify*: enough from *needed* on."""

    e_value: float
    needed: float
    certify: float
    failed: int
    requests: int

    @property
    def stands(self) -> bool:
        return self.e_value >= self.needed


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guards say. *reasons* belong to *kind*; the one that weighs most comes first.

    e_values, thresholds: by guard, and ``total``; an e-value at its threshold rolls back (or holds) by itself.
    version: the canary it is about, None where that need not be told. each: what is said of each candidate of a rollout
    that has several. failures: the canary's confirmed bad runs. pairs: compared shadow pairs. requests_to_decision: how
    many more canary requests a decision takes if things go on as they are; None where none is in sight.
    """

    kind: Kind
    reasons: tuple[Reason, ...]
    certificate: Certificate
    e_values: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    failures: int = 0
    pairs: int = 0
    requests_to_decision: int | None = None
    version: int | None = None
    each: tuple[Verdict, ...] = ()

    @property
    def text(self) -> str:
        """The reasons as one line for history and people."""
        return "; ".join(map(str, self.reasons))

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict for JSON."""
        return {
            "kind": self.kind.value,
            "reasons": [{"guard": reason.guard, "text": reason.text} for reason in self.reasons],
            "e_values": dict(self.e_values),
            "thresholds": dict(self.thresholds),
            "certificate": {
                "e_value": self.certificate.e_value,
                "needed": self.certificate.needed,
                "certify": self.certificate.certify,
                "failed": self.certificate.failed,
                "requests": self.certificate.requests,
                "stands": self.certificate.stands,
            },
            "failures": self.failures,
            "pairs": self.pairs,
            "requests_to_decision": self.requests_to_decision,
        }


PRECEDENCE: Final = (Kind.FAIL, Kind.HOLD, Kind.INCONCLUSIVE, Kind.PASS)


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return what the *verdicts* on all candidates of one rollout ask for together; the only one where there is one.

    The one that asks for the most decides: FAIL is about that one alone, and a PASS takes all of them. The others are
    kept in ``each``, and numbers are those of whoever is the farthest from a decision.
    """
    if len(verdicts) == 1:
        return verdicts[0]
    kind = next(kind for kind in PRECEDENCE if any(verdict.kind is kind for verdict in verdicts))
    deciding = [verdict for verdict in verdicts if verdict.kind is kind]
    if kind is Kind.FAIL:
        del deciding[1:]
    waits = [verdict.requests_to_decision for verdict in verdicts]
    known = [wait for wait in waits if wait is not None]
    return replace(
        deciding[0],
        reasons=tuple(reason for verdict in deciding for reason in verdict.reasons),
        certificate=min((verdict.certificate for verdict in verdicts), key=lambda each: each.e_value),
        failures=sum(verdict.failures for verdict in verdicts),
        pairs=min(verdict.pairs for verdict in verdicts),
        requests_to_decision=max(known) if len(known) == len(waits) else None,
        each=tuple(verdicts),
    )
