"""A terminal that is redrawn in place: the other screen, no echo, one write per picture, all put back at the end."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The other screen, no cursor, no line is wrapped."""
LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
BEGIN, END = "\x1b[?2026h\x1b[H", "\x1b[J\x1b[?2026l"
"""A terminal that knows mode 2026 shows what lies between at once; others ignore it, and see lines overwritten."""
CLEAR_LINE: Final = "\x1b[K"
KEYS: Final = {b"\x1b[A": "k", b"\x1bOA": "k", b"\x1b[B": "j", b"\x1bOB": "j"}
"""The arrows, in both modes of a keypad, as the letters that do the same."""


class Screen:
    """The terminal on stdin and stdout, while ``opened``."""

    def __init__(self, wakes: int) -> None:
        """*wakes*: a file descriptor that is readable after a signal, which is that the size changed or ends us."""
        self._wakes = wakes

    def draw(self, lines: Sequence[str]) -> None:
        """Show *lines*, the first inverse. One write, so that no half of a picture is seen."""
        first, *rest = [f"{line}{CLEAR_LINE}" for line in lines]
        sys.stdout.write(BEGIN + "\n".join([f"\x1b[7m{first}\x1b[0m", *rest]) + END)
        sys.stdout.flush()

    def wait(self, seconds: float) -> str:
        """Return the key that is pressed within *seconds*, ``resize`` when the size changed, else nothing."""
        stdin = sys.stdin.fileno()
        readable, _, _ = select.select([stdin, self._wakes], [], [], max(seconds, 0))
        if self._wakes in readable:
            os.read(self._wakes, 4096)
            return "resize"
        if stdin not in readable:
            return ""
        pressed = os.read(stdin, 64)
        return KEYS.get(pressed, pressed[:1].decode("ascii", "replace")) if pressed else "q"

    @staticmethod
    def size() -> tuple[int, int]:
        """Return columns and lines."""
        return os.get_terminal_size(sys.stdout.fileno())


@contextmanager
def opened() -> Iterator[Screen]:
    """Take the terminal, and give it back as it was, also after an error, Ctrl-C or SIGTERM."""
    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    wakes, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    # Written to by the interpreter as a signal comes: a handler of ours, which runs between two steps of Python, would
    # not run before a select that begins at that moment is over.
    woken = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    handlers = {
        signal.SIGWINCH: signal.signal(signal.SIGWINCH, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, _end),
    }
    try:
        tty.setcbreak(stdin, termios.TCSANOW)
        _without_suspension(stdin)
        sys.stdout.write(ENTER)
        yield Screen(wakes)
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(stdin, termios.TCSANOW, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        os.close(wakes)
        os.close(wake)


def is_possible() -> bool:
    """Say whether both ends of this command are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _without_suspension(terminal: int) -> None:
    """Take Ctrl-Z away: a shell in the foreground would be left on the other screen."""
    mode = termios.tcgetattr(terminal)
    mode[6][termios.VSUSP] = b"\x00"
    termios.tcsetattr(terminal, termios.TCSANOW, mode)


def _end(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)
