"""One version in one worker, from the first sight of its files to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.versions import VersionState, VersionStatus
from gateway.models.loaded import LoadedVersion

if TYPE_CHECKING:
    from gateway.models.loader import Prepared
    from gateway.models.repository import FilesStamp, VersionFiles
    from gateway.ports.metrics import VersionCells

RETRY_SECONDS: Final = (2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""How long a version that failed for a reason that may pass waits for its next try."""

PASSING: Final = frozenset({"unreadable", "no_memory", "unverified"})
"""Codes of the failures that may pass by themselves."""

ABSENT: Final = "no longer in the repository"
CHANGED: Final = "its files changed on disk; versions are immutable, so this one stays as it is"
NEW_GOLDEN: Final = "its golden requests were recorded since it was loaded; a rollout replays them in its preflight"
SIGNED_SINCE: Final = "its digests were written since it was loaded; they are looked at when it is loaded again"
INCOMPLETE: Final = "waiting until its files no longer change"


@dataclass(slots=True, eq=False)
class Entry:
    """What the catalog holds of one version. Changed by the catalog only."""

    model: str
    version: int
    files: VersionFiles | None = None
    """As the last scan saw them; None while they are absent."""
    state: VersionState = VersionState.UNAVAILABLE
    reason: str = ""
    digest: str = ""
    """Of the file it was first READY with; it is refused with another one from then on."""
    loaded: LoadedVersion | None = None
    tried: FilesStamp | None = None
    """The stamp of the files that were last loaded or refused."""
    is_loading: bool = False
    """The loader thread is at it. LOADING and not this: it waits for its turn."""
    failures: int = 0
    retry_at: float | None = None
    resting: str = ""
    """Why it is out of memory until somebody asks for it by its number; empty where it is not."""
    is_asked: bool = False
    """A caller asked for it while it rested, so that others may have to rest for it."""
    wake_at: float = 0.0
    """Until then it rests on, whoever asks."""

    def status(self) -> VersionStatus:
        """Return what is told of the version."""
        signature = self.loaded.signature if self.loaded else None
        memory_bytes = self.loaded.memory_bytes if self.loaded else 0
        return VersionStatus(
            self.model, self.version, self.state, self.reason, self.digest, signature, self._note(), memory_bytes
        )

    def _note(self) -> str:
        if self.loaded is None:
            return ""
        notes = [f"not batched: {self.loaded.why_not_batchable}"] if self.loaded.why_not_batchable else []
        if self.loaded.session.warning:
            notes.append(self.loaded.session.warning)
        if self.files is None:
            notes.append(ABSENT)
        elif self.tried is None or self.files.stamp[0] != self.tried[0]:
            notes.append(CHANGED)
        elif self.files.stamp[2] != self.tried[2]:
            notes.append(NEW_GOLDEN)
        elif self.files.stamp[3] != self.tried[3] and self.files.stamp[:3] == self.tried[:3]:
            notes.append(SIGNED_SINCE)
        elif self.files.stamp != self.tried:
            notes.append(CHANGED)
        return "; ".join(notes)

    def is_next_in_line(self) -> bool:
        """Say whether the loader thread may take it."""
        waits = self.state is VersionState.LOADING and not self.is_loading
        return waits and self.files is not None and self.files.settled

    def may_retry(self, now: float) -> bool:
        """Say whether a FAILED version deserves another try: other files, a new order, or enough time passed."""
        if self.files is not None and self.files.stamp != self.tried:
            return True
        return self.retry_at is not None and now >= self.retry_at

    def plan_retry(self, code: str, now: float) -> None:
        """After a failure, set when to try again: never by itself, but for a reason that may pass."""
        self.retry_at = None
        if code in PASSING:
            self.retry_at = now + RETRY_SECONDS[min(self.failures, len(RETRY_SECONDS) - 1)]
            self.failures += 1

    def rest(self, reason: str, *, until: float = 0.0) -> None:
        """Have it leave memory, or stay out, for this *reason*; nobody wakes it before *until*."""
        self.resting = reason
        self.is_asked = False
        self.wake_at = until

    def wake(self) -> None:
        """End its rest."""
        self.resting = ""

    def admit(self, prepared: Prepared, cells: VersionCells, now: float) -> None:
        """Take over what the loader thread made; *cells* count what the version does."""
        self.failures = 0
        self.is_asked = False
        self.digest = prepared.digest
        self.loaded = LoadedVersion(
            self.model,
            self.version,
            digest=prepared.digest,
            session=prepared.session,
            metadata=prepared.metadata,
            cells=cells,
            batchable=prepared.warm_up.batchable,
            why_not_batchable=prepared.warm_up.why_not,
            run_seconds=prepared.warm_up.run_seconds,
            memory_bytes=prepared.memory_bytes,
            last_asked=now,
        )
