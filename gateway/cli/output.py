"""How commands print: tables for people, JSON for scripts. What comes from elsewhere cannot steer the terminal."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from gateway.cli.errors import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


def print_json(data: object) -> None:
    """Print *data* as indented JSON."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print *rows* in columns under *titles*."""
    print("\n".join(columns(titles, rows)))


def columns(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a line of *titles*, and one per row, in columns."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(titles), *cells]) for column in range(len(titles))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in [titles, *cells]
    ]


def say(text: str) -> None:
    """Tell a person how it goes, on stderr, beside the answer."""
    print(plain(text), file=sys.stderr, flush=True)


def plain(value: object) -> str:
    """Return *value* as text without control characters: names and reasons are written by others."""
    text = "-" if value is None or value == "" else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def weights(split: Mapping[str, Any]) -> str:
    """Return a split as ``weights set`` reads it."""
    return " ".join(f"{version}={weight}" for version, weight in split.items())


def write_lines(lines: Iterable[bytes], out: Path | None) -> int:
    """Write *lines* as they come and return how many; *out* must not be there yet, None is stdout.

    Raises CommandFailed where the file cannot be written.
    """
    if out is None:
        return sum(1 for line in lines if sys.stdout.buffer.write(line))
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            return sum(1 for line in lines if file.write(line))
    except OSError as exc:
        raise CommandFailed(f"{out} cannot be written: {exc.strerror}; name another file with --out") from exc
