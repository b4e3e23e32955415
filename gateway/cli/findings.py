"""What one check of ``gateway doctor`` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A ``fail`` keeps a gateway from starting or from serving, or writes from being taken."""

    check: str
    verdict: Verdict
    found: str
