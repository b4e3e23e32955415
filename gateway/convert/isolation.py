"""Having a file converted in a confined process, and believing nothing that it says without a look.

It gets copies of the two files in a directory of its own, and a time to be done.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from gateway.convert import messages
from gateway.convert.confined import last_words, run_confined, was_killed
from gateway.convert.errors import CannotConvert
from gateway.convert.messages import Order, Report

if TYPE_CHECKING:
    from pathlib import Path


def run(scratch: Path, model: Path, sample: Path, *, trusted: bool, seconds: int) -> Report:
    """Convert *model* in a confined process; graph and answers then lie in *scratch*. Raises CannotConvert."""
    order = Order(f"model{model.suffix}", f"sample{sample.suffix}", trusted, seconds)
    for source, name in ((model, order.model), (sample, order.sample)):
        _copy(source, scratch / name)
    return _follow("gateway.convert.child", scratch, order, model.name)


def run_savedmodel(scratch: Path, folder: Path, sample: Path | None, *, seconds: int) -> Report:
    """Convert a SavedModel in a confined process; the graph then lies in *scratch*, and the answers to the *sample*.

    Raises CannotConvert.
    """
    order = Order("savedmodel", f"sample{sample.suffix}" if sample else "", trusted=True, seconds=seconds)
    if sample is not None:
        _copy(sample, scratch / order.sample)
    try:
        shutil.copytree(folder, scratch / order.model)
    except (OSError, shutil.Error) as exc:
        raise CannotConvert(f"{folder} cannot be read: {exc}") from exc
    return _follow("gateway.convert.savedmodel_child", scratch, order, folder.name)


def _copy(source: Path, to: Path) -> None:
    try:
        shutil.copyfile(source, to)
    except OSError as exc:
        raise CannotConvert(f"{source} cannot be read: {exc.strerror}") from exc


def _follow(module: str, scratch: Path, order: Order, name: str) -> Report:
    """Have *module* follow *order* on what is called *name*, and return its report. Raises CannotConvert."""
    messages.write_message(scratch / messages.ORDER, order)
    code = run_confined(module, scratch, seconds=order.seconds)
    report = messages.read_report(scratch) if code == 0 else None
    if report is None:
        raise CannotConvert(_explain(code, scratch, name, order.seconds))
    if report.refusal:
        raise CannotConvert(report.refusal)
    return report


def _explain(code: int | None, scratch: Path, name: str, seconds: int) -> str:
    """Return in words how a process ended that left no report."""
    if code is None:
        return f"reading and converting {name} took longer than {seconds} s and was ended; give it more with --timeout"
    if was_killed(code):
        return f"the process that read {name} was killed: it wanted more memory or processor time than it may have"
    if code == 0:
        return f"{name} ended the process that read it, so it is no estimator; do not trust whoever gave it to you"
    return f"the process that read {name} ended with exit code {code} and no report: {last_words(scratch)}"
