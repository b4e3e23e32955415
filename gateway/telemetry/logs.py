"""One log record, one line: JSON for machines, or a short form for a terminal.

Whatever a record holds, it cannot break out of its line or reach the terminal as a control
sequence, and passwords in store URLs are hidden.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing import TextIO

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""Attributes that are the record's own or another formatter's; every other one was given as ``extra``."""

_FIXED: Final = frozenset({"time", "level", "logger", "message", "pid", "traceback", "stack"})

_CREDENTIALS: Final = re.compile(r"\b((?:rediss?|valkeys?|unix)(?:\+\w+)?://[^\s:@/]*):\S*@", re.IGNORECASE)


def configure(level: str, *, human: bool, stream: TextIO | None = None) -> None:
    """Send the records of every logger at *level* and above, uvicorn's and warnings too, to *stream* or stderr.

    uvicorn's line per request is off: requests are counted, not logged. Raises ValueError for an unknown level.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers[:] = [handler]
    logging.captureWarnings(capture=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object in ASCII, so that no character of it ends a line or moves a cursor."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _timestamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": redacted(_message(record)),
            "pid": record.process,
        }
        line.update(_extras(record))
        if record.exc_info:
            line["traceback"] = redacted(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = redacted(record.stack_info)
        return json.dumps(line, ensure_ascii=True, separators=(",", ":"))


class HumanFormatter(logging.Formatter):
    """Writes a record for a terminal: one line, and a traceback indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f" {name}={value}" for name, value in _extras(record).items())
        text = f"{record.levelname:<8}{record.name}: {redacted(_message(record))}{extras}"
        lines = [f"{_timestamp(record)[11:-1]} {printable(text)}"]
        if record.exc_info:
            trace = redacted(self.formatException(record.exc_info))
            lines += [f"    {printable(line)}" for line in trace.split("\n")]
        return "\n".join(lines)


def redacted(text: str) -> str:
    """Return *text* with the password of every store URL hidden: all between the user and the last @ of the word."""
    return _CREDENTIALS.sub(r"\1:***@", text)


def printable(text: str) -> str:
    """Return *text* with each character that is no printable one written as its escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"


def _message(record: logging.LogRecord) -> str:
    """Return the message; one whose arguments do not fit is shown as it is: it may be the only trace of a fault."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError, IndexError):
        return f"{record.msg} {record.args!r}"


def _extras(record: logging.LogRecord) -> dict[str, bool | int | float | str | None]:
    """Return the fields given as ``extra``, less those that would hide one of the line's own."""
    given = {name: value for name, value in vars(record).items() if name not in _OWN and name not in _FIXED}
    return {name: _field(value) for name, value in given.items()}


def _field(value: object) -> bool | int | float | str | None:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return redacted(str(value))
