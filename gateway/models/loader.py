"""The slow half of a version's life: everything that may block, on one thread, one version at a time.

Nothing here touches the event loop or the catalog; what goes wrong with a version is returned,
since a raised exception would keep its session alive in its traceback.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidModel, RunStopped
from gateway.models.adapting import adapted
from gateway.models.golden import read_golden
from gateway.models.loading import MAX_MODEL_BYTES, fetch, prune
from gateway.models.metadata import Metadata, read_metadata
from gateway.models.replay import replay
from gateway.models.warmup import WarmUp, warm_up

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.models.golden import GoldenRequest
    from gateway.models.metadata import Serving
    from gateway.models.repository import VersionFiles
    from gateway.ports import Engine, Session

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


class Loader:
    """Loads and destroys sessions. Every method blocks."""

    def __init__(
        self,
        engine: Engine,
        blobs: Path,
        *,
        threads: int = 1,
        max_bytes: int = MAX_MODEL_BYTES,
        patience: float = WARM_UP_SECONDS,
    ) -> None:
        """*patience*: the seconds that all runs of a warm-up and of golden requests may take together."""
        self._engine = engine
        self._blobs = blobs
        self._threads = threads
        self._max_bytes = max_bytes
        self._patience = patience

    def load(self, files: VersionFiles, *, pinned: str = "") -> Prepared | InvalidModel:
        """Return the version ready to run, or why it cannot be.

        pinned: the SHA-256 that this version had when it was loaded before; empty for none.
        """
        try:
            return self._load(files, pinned)
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

    def _load(self, files: VersionFiles, pinned: str) -> Prepared:
        metadata = read_metadata(files.metadata_path) if files.metadata_path else Metadata()
        if metadata.failed:
            raise InvalidModel("unproven", f"it was registered as failed: {metadata.failed}; publish another version")
        golden = read_golden(files.golden_path, declared=metadata.golden_sha256)
        blob = fetch(files.path, self._blobs, declared=metadata.sha256, max_bytes=self._max_bytes)
        if pinned and blob.digest != pinned:
            raise InvalidModel(
                "digest",
                f"the file's SHA-256 is {blob.digest[:12]}…, and this version was {pinned[:12]}…; "
                f"versions are immutable: publish it under another number",
            )
        session = self._engine.load(
            blob.path, model=files.model, version=files.version, threads=metadata.serving.threads or self._threads
        )
        if session.warning:
            logger.warning("version %d of model %r: %s", files.version, files.model, session.warning)
        session, serving = adapted(session, metadata, model=files.model, version=files.version)
        return Prepared(session, metadata, blob.digest, self._prove(session, serving, golden))

    def _prove(self, session: Session, serving: Serving, golden: Sequence[GoldenRequest]) -> WarmUp:
        """Warm a version up and replay its golden requests; one that does not end is stopped."""
        timer = threading.Timer(self._patience, session.stop)
        timer.daemon = True
        timer.start()
        try:
            warm = warm_up(session, serving)
            difference = replay(session, golden)
        except RunStopped:
            raise InvalidModel(
                "warm_up", f"it did not answer harmless inputs within {self._patience:g} s; does it have a loop?"
            ) from None
        finally:
            timer.cancel()
            timer.join()  # it holds the session, which must be destroyed on this thread
        if difference:
            raise InvalidModel("golden", f"{difference}; publish the file that was recorded, or record it anew")
        return warm

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


def give_memory_back() -> None:
    """Return freed memory to the system; glibc keeps it otherwise, 200 MB after a dozen unloads of 64 MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
