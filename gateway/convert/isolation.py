"""Running the confined process, and believing nothing that it says without a look.

It gets copies of the two files in a directory of its own, an environment without secrets, a time to be done,
and no terminal. Its end is its own: whatever it does, the command goes on and says what happened.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from gateway.convert import messages
from gateway.convert.errors import CannotConvert
from gateway.convert.messages import Order, Report

_OURS: Final = str(Path(__file__).parents[2])
"""Where this package lies, which need not be installed."""

_KEPT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""Of the environment, what finding and importing libraries needs."""

_LAST_WORDS: Final = 400


def run(scratch: Path, model: Path, sample: Path, *, trusted: bool, seconds: int) -> Report:
    """Convert *model* in a confined process; graph and answers then lie in *scratch*. Raises CannotConvert."""
    order = Order(f"model{model.suffix}", f"sample{sample.suffix}", trusted, seconds)
    for source, name in ((model, order.model), (sample, order.sample)):
        try:
            shutil.copyfile(source, scratch / name)
        except OSError as exc:
            raise CannotConvert(f"{source} cannot be read: {exc.strerror}") from exc
    messages.write_message(scratch / messages.ORDER, order)
    code = _run(scratch, seconds)
    report = messages.read_report(scratch) if code == 0 else None
    if report is None:
        raise CannotConvert(_explain(code, scratch, model.name, seconds))
    if report.refusal:
        raise CannotConvert(report.refusal)
    return report


def _run(scratch: Path, seconds: int) -> int | None:
    """Return the exit code, None where it had to be ended."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), _OURS))),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "JOBLIB_MULTIPROCESSING": "0",
        "ORT_DISABLE_TELEMETRY": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    with (scratch / messages.WORDS).open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gateway.convert.child", str(scratch)],
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


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its session; what left the session ends with the table of processes it lives in."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _explain(code: int | None, scratch: Path, name: str, seconds: int) -> str:
    """Return in words how a process ended that left no report."""
    if code is None:
        return f"reading and converting {name} took longer than {seconds} s and was ended; give it more with --timeout"
    with (scratch / messages.WORDS).open("rb") as words:
        words.seek(max(0, (scratch / messages.WORDS).stat().st_size - _LAST_WORDS))
        last = words.read().decode(errors="replace").strip().rpartition("\n")[2]
    if code in (-signal.SIGKILL, 256 - signal.SIGKILL, -signal.SIGXCPU, 256 - signal.SIGXCPU):
        return f"the process that read {name} was killed: it wanted more memory or processor time than it may have"
    if code == 0:
        return f"{name} ended the process that read it, so it is no estimator; do not trust whoever gave it to you"
    return f"the process that read {name} ended with exit code {code} and no report: {last or 'it said nothing'}"
