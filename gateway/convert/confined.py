"""Starting a module as a confined process: an environment without secrets, a time to be done, no terminal.

Its end is its own: whatever it does, the command goes on and says what happened. What the process gives up by itself
is in ``confinement.py``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

WORDS: Final = "stderr"
"""The file in the directory of the process that takes what it says."""

_OURS: Final = str(Path(__file__).parents[2])
"""Where this package lies, which need not be installed."""

_KEPT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""Of the environment, what finding and importing libraries needs."""

_LAST_WORDS: Final = 400

_KILLED: Final = (-signal.SIGKILL, 256 - signal.SIGKILL, -signal.SIGXCPU, 256 - signal.SIGXCPU)


def run_confined(module: str, scratch: Path, *, seconds: int) -> int | None:
    """Run ``python -m MODULE SCRATCH`` and return its exit code, None where it had to be ended after *seconds*."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), _OURS))),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "JOBLIB_MULTIPROCESSING": "0",
        "ORT_DISABLE_TELEMETRY": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    with (scratch / WORDS).open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(scratch)],
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
            start_new_session=True,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)


def was_killed(code: int | None) -> bool:
    """Say whether a process with this exit *code* wanted more memory or processor time than it may have."""
    return code in _KILLED


def last_words(scratch: Path) -> str:
    """Return the last line that the process wrote to stderr."""
    with (scratch / WORDS).open("rb") as words:
        words.seek(max(0, (scratch / WORDS).stat().st_size - _LAST_WORDS))
        return words.read().decode(errors="replace").strip().rpartition("\n")[2] or "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its session; what left the session ends with the table of processes it lives in."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
