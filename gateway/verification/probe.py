"""One probe of a model file, in a process that was forked for it and ends with it.

It builds a session and warms it up exactly as a worker will. What it takes is bounded by the kernel; a process that is
killed, crashes or never ends leaves a sign of how far it came, and that is the finding.

Source: setrlimit(2); prctl(2); proc(5), ``oom_score_adj``.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import resource
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from gateway.core.errors import InvalidModel
from gateway.core.providers import use_the_processor_only
from gateway.models.adapting import adapted
from gateway.models.memory import anonymous_bytes, give_memory_back
from gateway.models.metadata import read_wishes
from gateway.models.proof import prove
from gateway.ports.engine import Finding

if TYPE_CHECKING:
    from gateway.ports.engine import Candidate, Engine

logger = logging.getLogger(__name__)

BUILT: Final = b"built\n"
"""Said when the session stands and the warm-up begins."""

_ROOM_BYTES: Final = 1 << 30
"""Of address space beyond what models may take: thread stacks and arenas are reserved, and never filled."""

YIELDING: Final = 5
"""Added to the niceness of a probe: beside one worker that is busy all the time it gets a quarter of a processor.
A worker's own thread does not yield so: it holds the interpreter at times, and times the runs that choose a lane."""

_DIE_WITH_PARENT: Final = 1
_KILL_ME_FIRST: Final = "1000"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a probe may take.

    *memory_bytes*: what the models of one worker may take together; 0 for no bound. *build_seconds* bounds the building
    of the session, *prove_seconds* all runs of its warm-up together. A run that can be stopped is, and says so itself;
    any other ends with the process, *grace_seconds* later.
    """

    memory_bytes: int = 0
    build_seconds: float = 120.0
    prove_seconds: float = 60.0
    grace_seconds: float = 5.0


def run_probe(candidate: Candidate, engine: Engine, bounds: Bounds, write_end: int) -> NoReturn:
    """Try *candidate* in this process, write what came of it to the pipe *write_end*, and end the process."""
    code = 1
    try:
        os.nice(YIELDING)
        _limit(bounds, address_space=use_the_processor_only(candidate.providers))
        finding = _try(candidate, engine, bounds, write_end)
        os.write(write_end, json.dumps(asdict(finding)).encode())
        code = 0
    except Exception:  # the outermost door of the process
        logger.exception("version %d of model %r cannot be tried", candidate.version, candidate.model)
    finally:
        os._exit(code)  # what lies below this frame belongs to the process that forked


def _try(candidate: Candidate, engine: Engine, bounds: Bounds, write_end: int) -> Finding:
    give_memory_back()
    before = anonymous_bytes()
    try:
        session = engine.load(
            Path(candidate.path),
            model=candidate.model,
            version=candidate.version,
            threads=candidate.threads,
            providers=candidate.providers,
        )
        os.write(write_end, BUILT)
        session, serving = adapted(
            session, read_wishes(candidate.serving), model=candidate.model, version=candidate.version
        )
        prove(session, serving, (), bounds.prove_seconds)
    except InvalidModel as exc:
        return Finding(exc.code, exc.reason)
    except MemoryError:
        return Finding("no_memory", "there is not enough memory to load it")
    give_memory_back()
    return Finding(memory_bytes=max(0, anonymous_bytes() - before))


def _limit(bounds: Bounds, *, address_space: bool) -> None:
    """Have the kernel end this process with its parent, and before others for want of memory; bound what it takes.

    *address_space* is False where the driver of a device reserves all the machine has, and fills nothing of it.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):  # Linux only
        libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILL_ME_FIRST)
    wanted = {resource.RLIMIT_CORE: 0}
    if bounds.memory_bytes and address_space:
        wanted[resource.RLIMIT_AS] = _address_space() + 2 * bounds.memory_bytes + _ROOM_BYTES
    for which, most in wanted.items():
        hard = resource.getrlimit(which)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (bound, bound))


def _address_space() -> int:
    """Return what this process has reserved already, which it shares with the one that forked it."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return 0
