"""Who tries model files for all workers of a gateway, one after the other, each once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.verification.watching import watch_probe

if TYPE_CHECKING:
    from gateway.ports.engine import Candidate, Engine, Finding
    from gateway.verification.findings import Findings
    from gateway.verification.probe import Bounds

logger = logging.getLogger(__name__)


class LocalVerifier:
    """Implements Verifier by probes of its own. Forks: use it in a process with a single thread."""

    def __init__(self, engine: Engine, findings: Findings, bounds: Bounds) -> None:
        self._engine = engine
        self._findings = findings
        self._bounds = bounds

    def verify(self, candidate: Candidate) -> Finding:
        """Return what is remembered of *candidate*, or what a probe shows now, which then is remembered."""
        finding = self._findings.find(candidate)
        if finding is None:
            finding = watch_probe(candidate, self._engine, self._bounds)
            self._findings.keep(candidate, finding)
            if finding.code:
                logger.warning(
                    "version %d of model %r failed its probe (%s): %s",
                    candidate.version, candidate.model, finding.code, finding.reason,
                )  # fmt: skip
        return finding
