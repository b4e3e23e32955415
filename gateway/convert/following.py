"""What every confined process that converts does: read its order, give up what it can, convert, leave a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.convert import messages
from gateway.convert.confinement import confine
from gateway.convert.errors import CannotConvert
from gateway.convert.messages import Order, Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def follow_order(scratch: Path, convert: Callable[[Path, Order, list[str]], Report]) -> int:
    """Follow the order in *scratch*; return the exit code: 0 where a report was written.

    *convert* gets the directory, the order and what holds the process; CannotConvert from it is a report too.
    """
    order = messages.read_order(scratch)
    held = confine(scratch, seconds=order.seconds)
    try:
        report = convert(scratch, order, held)
    except CannotConvert as exc:
        report = Report(refusal=str(exc), held=held)
    messages.write_message(scratch / messages.REPORT, report)
    return 0
