"""The slow half of a version's life: everything that may block, on one thread, one version at a time.

Nothing here touches the event loop or the catalog; what goes wrong with a version is returned,
since a raised exception would keep its session alive in its traceback.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidModel
from gateway.core.providers import CPU
from gateway.models.adapting import adapted
from gateway.models.digests import read_digests
from gateway.models.files import compare_digests
from gateway.models.golden import read_golden
from gateway.models.loading import MAX_MODEL_BYTES, fetch, prune
from gateway.models.memory import give_memory_back
from gateway.models.metadata import Metadata, read_metadata, wishes_text
from gateway.models.proof import prove
from gateway.models.repository import DIGESTS_FILE, GOLDEN_FILE, METADATA_FILE, MODEL_FILE
from gateway.models.signing import TO_SIGN, signer
from gateway.ports.engine import Candidate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gateway.models.loading import Blob
    from gateway.models.repository import VersionFiles
    from gateway.models.signing import Trusted
    from gateway.models.turns import Turns
    from gateway.models.warmup import WarmUp
    from gateway.ports.engine import Engine, Session, Verifier

logger = logging.getLogger(__name__)

WARM_UP_SECONDS: Final = 60.0
"""The runs of a warm-up and of golden requests may take so long together; the other versions wait meanwhile."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A version that is loaded and warm."""

    session: Session
    metadata: Metadata
    digest: str
    warm_up: WarmUp
    memory_bytes: int = 0
    """What one session of it took when it was tried; 0 where it was not."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    """A version that may be loaded, and takes more memory than there is room for."""

    needed_bytes: int


class Loader:
    """Loads and destroys sessions. Every method blocks."""

    def __init__(
        self,
        engine: Engine,
        blobs: Path,
        *,
        threads: int = 1,
        most_threads: int | None = None,
        providers: Sequence[str] = (CPU,),
        max_bytes: int = MAX_MODEL_BYTES,
        patience: float = WARM_UP_SECONDS,
        verifier: Verifier | None = None,
        trusted: Trusted | None = None,
        turns: Turns | None = None,
    ) -> None:
        """*threads* and *providers*: for versions that name none. *most_threads*: what any version may have of them,
        whatever it asks for; None for any number. *patience*: the seconds that all runs of a warm-up
        and of golden requests may take together.

        *verifier* tries each file before it is loaded; None where this process may die of one itself. *trusted*: keys,
        of which one must have signed a version; None asks for no signature. *turns*: what large files are loaded in;
        None where nobody else loads them.
        """
        self._trusted = trusted
        self._turns = turns
        self._verifier = verifier
        self._engine = engine
        self._blobs = blobs
        self._threads = threads
        self._most_threads = most_threads
        self._providers = providers
        self._max_bytes = max_bytes
        self._patience = patience

    def load(
        self, files: VersionFiles, *, pinned: str = "", free_bytes: int | None = None
    ) -> Prepared | NoRoom | InvalidModel:
        """Return the version ready to run, or why it cannot be.

        pinned: the SHA-256 that this version had when it was loaded before; empty for none. free_bytes: what it may
        take of memory; None for any amount.
        """
        try:
            with self._turn(files):
                return self._load(files, pinned, free_bytes)
        except InvalidModel as exc:
            logger.warning(
                "version %d of model %r is refused (%s): %s", files.version, files.model, exc.code, exc.reason
            )
            failure = InvalidModel(exc.code, exc.reason)
        except MemoryError:
            failure = InvalidModel("no_memory", "there is not enough memory to load it")
        except Exception:  # the outermost door of the loader thread: one odd file must not stop the loading of others
            logger.exception("version %d of model %r cannot be loaded", files.version, files.model)
            failure = InvalidModel("bad_model", "it could not be loaded; the log says why")
        give_memory_back()
        return failure

    def _turn(self, files: VersionFiles) -> AbstractContextManager[None]:
        what, size = f"version {files.version} of model {files.model!r}", files.stamp[0][0]
        return nullcontext() if self._turns is None else self._turns.turn(what, size)

    def _load(self, files: VersionFiles, pinned: str, free_bytes: int | None) -> Prepared | NoRoom:
        declared = self._declared(files)
        metadata = Metadata()
        if files.metadata_path:
            metadata = read_metadata(files.metadata_path, declared=declared.get(METADATA_FILE, ""))
        if metadata.failed:
            raise InvalidModel("unproven", f"it was registered as failed: {metadata.failed}; publish another version")
        golden = read_golden(files.golden_path, declared=metadata.golden_sha256, signed=declared.get(GOLDEN_FILE, ""))
        blob = fetch(files.path, self._blobs, declared=metadata.sha256, max_bytes=self._max_bytes)
        compare_digests(files.path.name, blob.digest, declared.get(MODEL_FILE, ""))
        if pinned and blob.digest != pinned:
            raise InvalidModel(
                "digest",
                f"the file's SHA-256 is {blob.digest[:12]}…, and this version was {pinned[:12]}…; "
                f"versions are immutable: publish it under another number",
            )
        threads = self._allowed(metadata.serving.threads or self._threads, files)
        providers = metadata.serving.providers or self._providers
        memory_bytes = self._verify(files, blob, metadata, threads, providers)
        if free_bytes is not None and memory_bytes > free_bytes:
            return NoRoom(memory_bytes)
        session = self._engine.load(
            blob.path, model=files.model, version=files.version, threads=threads, providers=providers
        )
        if session.warning:
            logger.warning("version %d of model %r: %s", files.version, files.model, session.warning)
        session, serving = adapted(session, metadata, model=files.model, version=files.version)
        proven = prove(session, serving, golden, self._patience)
        joined = replace(metadata.serving, max_batch_rows=serving.max_batch_rows)
        return Prepared(session, replace(metadata, serving=joined), blob.digest, proven, memory_bytes)

    def _allowed(self, threads: int, files: VersionFiles) -> int:
        """Return how many of the *threads* that a version asks for it gets."""
        if self._most_threads is None or threads <= self._most_threads:
            return threads
        logger.warning(
            "version %d of model %r asks for %d threads and gets %d, this worker's part of the processors; "
            "give fewer --workers, or more processors",
            files.version, files.model, threads, self._most_threads,
        )  # fmt: skip
        return self._most_threads

    def _declared(self, files: VersionFiles) -> Mapping[str, str]:
        """Return the SHA-256 that each file must have, by the version's digests; nothing where it has none.

        Raises InvalidModel: digest where they are not this version's, unsigned where nobody who is trusted signed them.
        """
        path = files.digests_path
        if path is None:
            if self._trusted is not None:
                raise InvalidModel("unsigned", f"it has no {DIGESTS_FILE}; {TO_SIGN}")
            return {}
        digests = read_digests(path)
        optional = {METADATA_FILE: files.metadata_path, GOLDEN_FILE: files.golden_path}
        digests.check(files.model, files.version, {MODEL_FILE, *(name for name, at in optional.items() if at)})
        if self._trusted is not None:
            name = signer(digests, self._trusted)
            logger.info("version %d of model %r is signed by %s", files.version, files.model, name)
        return digests.files

    def _verify(
        self, files: VersionFiles, blob: Blob, metadata: Metadata, threads: int, providers: Sequence[str]
    ) -> int:
        """Return the bytes that a probe of the file took, 0 without one. Raises InvalidModel where it failed."""
        if self._verifier is None:
            return 0
        wishes = wishes_text(metadata)
        tried = Candidate(str(blob.path), blob.digest, files.model, files.version, threads, wishes, providers)
        finding = self._verifier.verify(tried)
        if finding.code:
            raise InvalidModel(finding.code, finding.reason)
        return finding.memory_bytes

    def destroy(self, last: list[Session]) -> None:
        """Destroy the session in *last*, which holds the only reference: a big one takes 25 ms of the interpreter."""
        last.clear()
        give_memory_back()

    def tidy(self) -> None:
        """Delete copies that nobody has used for long."""
        try:
            prune(self._blobs)
        except OSError:
            logger.warning("old copies of models cannot be deleted", exc_info=True)
