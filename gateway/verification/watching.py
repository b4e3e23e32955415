"""Forking a probe, waiting for it no longer than it may take, and reading what its end means."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from gateway.models.memory import shown
from gateway.ports.engine import Finding
from gateway.verification.probe import BUILT, run_probe

if TYPE_CHECKING:
    from gateway.ports.engine import Candidate, Engine
    from gateway.verification.probe import Bounds


def watch_probe(candidate: Candidate, engine: Engine, bounds: Bounds) -> Finding:
    """Return the finding of one probe of *candidate*. Forks: call it in a process with a single thread."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read_end)
        run_probe(candidate, engine, bounds, write_end)
    os.close(write_end)
    try:
        said, was_in_time = _listen(read_end, bounds)
        if not was_in_time:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(read_end)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    is_built, words = said.startswith(BUILT), said.removeprefix(BUILT)
    if not was_in_time:
        return _too_long(bounds, is_built=is_built)
    if code == 0 and words:
        return Finding(**json.loads(words))
    return _explain(code, bounds, is_built=is_built)


def _listen(read_end: int, bounds: Bounds) -> tuple[bytes, bool]:
    """Return what the probe says until its end, and whether that came in time."""
    until = time.monotonic() + bounds.build_seconds
    said, is_built = b"", False
    while (left := until - time.monotonic()) > 0 and select.select([read_end], [], [], left)[0]:
        if not (piece := os.read(read_end, 65_536)):
            return said, True
        said += piece
        if not is_built and said.startswith(BUILT):
            is_built, until = True, time.monotonic() + bounds.prove_seconds + bounds.grace_seconds
    return said, False


def _too_long(bounds: Bounds, *, is_built: bool) -> Finding:
    if is_built:
        return Finding(
            "warm_up", f"a run on harmless inputs took over {bounds.prove_seconds:g} s and could not be stopped"
        )
    return Finding("timeout", f"it was not loaded within {bounds.build_seconds:g} s; is its graph that large?")


def _explain(code: int, bounds: Bounds, *, is_built: bool) -> Finding:
    """Return the finding of a probe that ended with the exit *code*, or minus the signal, and no word."""
    when = "on harmless inputs" if is_built else "while it was loaded"
    if code == -signal.SIGKILL:
        most = f", or than the {shown(bounds.memory_bytes)} of --model-memory" if bounds.memory_bytes else ""
        return Finding("no_memory", f"the process that tried it was killed {when}: it took more than there is{most}")
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    reason = f"the process that tried it ended with {how} {when}; it would have ended a worker"
    return Finding("warm_up" if is_built else "bad_model", reason)
