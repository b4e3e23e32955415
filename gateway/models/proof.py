"""Showing that a session answers: its warm-up, and its golden requests, in a time that is bounded."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gateway.core.errors import InvalidModel, RunStopped
from gateway.models.replay import replay
from gateway.models.warmup import WarmUp, warm_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.models.golden import GoldenRequest
    from gateway.models.metadata import Serving
    from gateway.ports.engine import Session


def prove(session: Session, serving: Serving, golden: Sequence[GoldenRequest], patience: float) -> WarmUp:
    """Warm *session* up and replay its *golden* requests; runs that take over *patience* seconds together are stopped.

    Raises InvalidModel with the codes warm_up, bad_metadata and golden.
    """
    timer = threading.Timer(patience, session.stop)
    timer.daemon = True
    timer.start()
    try:
        warm = warm_up(session, serving)
        difference = replay(session, golden)
    except RunStopped:
        raise InvalidModel(
            "warm_up", f"it did not answer harmless inputs within {patience:g} s; does it have a loop?"
        ) from None
    finally:
        timer.cancel()
        timer.join()  # it holds the session, which must be destroyed on this thread
    if difference:
        raise InvalidModel("golden", f"{difference}; publish the file that was recorded, or record it anew")
    return warm
