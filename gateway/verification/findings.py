"""The findings of earlier probes, by what was tried: they outlive the gateway, so that a start tries nothing twice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from gateway.models.loading import STALE_SECONDS
from gateway.ports.engine import Finding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.ports.engine import Candidate

logger = logging.getLogger(__name__)

REFUSAL_SECONDS: Final = 600.0
"""How long a refusal holds: it may have been the machine that was slow, and a load order then tries again."""

PASSING: Final = frozenset({"no_memory"})
"""Codes of refusals that say more of the moment than of the file, and are not remembered."""


class Findings:
    """The directory of findings. One process writes it."""

    def __init__(self, directory: Path, runtime: str, *, clock: Callable[[], float] = time.time) -> None:
        """*runtime*: the name and version of what builds sessions; what another one was shown counts for nothing."""
        self._directory = directory
        self._runtime = runtime
        self._clock = clock

    def find(self, candidate: Candidate) -> Finding | None:
        """Return what is remembered of *candidate*; None where nothing is, or what is cannot be read."""
        path = self._path(candidate)
        try:
            finding = Finding(**json.loads(path.read_bytes()))
            if finding.code and self._clock() - path.stat().st_mtime > REFUSAL_SECONDS:
                return None
            if not finding.code:
                os.utime(path)  # used: not to be pruned
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as exc:
            logger.warning("the finding %s cannot be read, and its model file is tried anew: %s", path.name, exc)
            return None
        return finding

    def keep(self, candidate: Candidate, finding: Finding) -> None:
        """Remember *finding*, if it will hold. A disk that takes nothing is logged: the next start tries again."""
        if finding.code in PASSING:
            return
        path = self._path(candidate)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(asdict(finding)))
            temporary.replace(path)
        except OSError as exc:
            logger.warning("a finding cannot be kept, and the next start tries the model file again: %s", exc)

    def prune(self) -> None:
        """Forget what nobody asked for in a day."""
        oldest = self._clock() - STALE_SECONDS
        with suppress(OSError):
            for each in list(self._directory.iterdir()):
                if each.stat().st_mtime < oldest:
                    each.unlink()

    def _path(self, candidate: Candidate) -> Path:
        tried = [candidate.digest, candidate.serving, candidate.threads, list(candidate.providers), self._runtime]
        return self._directory / f"{hashlib.sha256(json.dumps(tried).encode()).hexdigest()}.json"
