"""What a plan asks of a canary before its first step: which golden requests are replayed, and what must be proven.

Golden requests lie with a version in the repository, each with the answer that was recorded. *own*: the canary's are
replayed on the canary. *baseline*: the baseline's are, and the canary's answers are compared with the baseline's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.guards import switch_of
from gateway.core.members import at, check_choice, members_of, shown
from gateway.core.quantities import check_distance

SETS: Final = ("own", "baseline", "off")
DEMANDS: Final = ("parity", "evaluation")
"""What a canary may have to have proven: that it answers as its original, and that it passed an evaluation's gates."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Whose golden requests are replayed, *of* one of SETS.

    *tolerance*: how far numbers may differ, relative above 1, in place of what each request says; for those of the
    baseline only, since a version that was trained anew is not expected to give the same numbers.
    """

    of: str = "own"
    tolerance: float | None = None

    def __post_init__(self) -> None:
        with at("of"):
            check_choice(self.of, SETS)
        if self.tolerance is not None:
            with at("tolerance"):
                object.__setattr__(self, "tolerance", check_distance(self.tolerance))
                if self.of != "baseline":
                    raise InvalidDocument("", "goes with the baseline's requests only; the own ones say theirs")

    def as_value(self) -> str | dict[str, Any]:
        """Return what a plan writes: ``read_golden`` reads the same value from it."""
        return self.of if self.tolerance is None else {"of": self.of, "tolerance": self.tolerance}


def read_golden(data: object) -> Golden:
    """Return what the member ``golden`` of a plan says: a word, or whose and with which tolerance."""
    if isinstance(data, str | bool):
        word = str(switch_of(data, on="own", off="off"))
        check_choice(word, SETS)
        return Golden(word)
    members = members_of(data, ("of", "tolerance"), needed=("of",), what="golden set")
    return Golden(members["of"], members.get("tolerance"))


def check_demands(demands: tuple[str, ...]) -> tuple[str, ...]:
    """Return *demands* if each is one of DEMANDS and none is there twice."""
    for index, each in enumerate(demands):
        with at(f"[{index}]"):
            check_choice(each, DEMANDS)
            if each in demands[:index]:
                raise InvalidDocument("", f"{shown(each)} is there twice; write it once")
    return demands


def read_demands(data: object) -> tuple[str, ...]:
    """Return what the member ``require`` of a plan lists."""
    if not isinstance(data, list):
        raise InvalidDocument("", f"{shown(data)} is no list; write such as [{', '.join(DEMANDS)}]")
    return check_demands(tuple(data))
