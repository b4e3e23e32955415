"""``gateway top``: what it reckons, how a page looks, and that a terminal is left as it was."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli import top, top_view
from gateway.cli.errors import CommandFailed
from gateway.cli.top_reading import Look, compare
from gateway.settings import can_redraw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Terminal
    from tests.control.fakes import House

ROLLOUT: dict[str, Any] = {
    "phase": "step", "origin": None, "step": 2, "steps": 3, "candidate": "2", "must_choose": False,
    "candidates": [{"version": "2", "state": "live", "reason": ""}], "baseline": "1", "gate": False,
    "reason": "", "is_over": False, "seconds_left": 41.0,
    "verdict": {"kind": "inconclusive"},
    "verdicts": {
        "2": {
            "e_values": {"errors": 3.25, "latency": 0.5, "shadow": 1.0},
            "thresholds": {"errors": 100.0, "latency": 400.0},
        },
    },
}  # fmt: skip


def a_look(at: float, ok: int, failed: int = 0, *, rollout: dict[str, Any] | None = None) -> Look:
    versions = [
        {"version": "1", "state": "READY", "memory_bytes": 3 * 2**20},
        {"version": "2", "state": "LOADING", "memory_bytes": None},
    ]
    figures = {
        "share": 0.95,
        "requests": {"ok": ok, "client_error": 5, "model_error": failed},
        "latency_seconds": {"p50": 0.00123, "p95": 0.01, "p99": 0.1},
        "usage": {"rows": 10 * ok, "cpu_seconds": ok / 1000},
    }
    return Look(
        at,
        {"store": "up", "models": [{"name": "fraud", "ready": True, "revision": 3, "versions": versions}]},
        {"fraud": {"1": figures}},
        {"fraud": rollout} if rollout else {},
    )


def version_1(before: Look, now: Look) -> dict[str, Any]:
    found: dict[str, Any] = compare(before, now)["models"][0]["versions"][0]
    return found


def test_rates_are_what_was_counted_between_two_looks() -> None:
    shown = version_1(a_look(10, 1000, 0), a_look(12, 1100, 4))

    assert (shown["requests_per_second"], shown["errors_per_second"]) == (52.0, 2.0)
    assert (shown["rows_per_second"], shown["cpu_seconds_per_second"]) == (500.0, pytest.approx(0.05))


@pytest.mark.parametrize("before", [a_look(12, 1), a_look(10, 9000)])
def test_without_time_between_or_after_a_count_fell_there_is_no_rate(before: Look) -> None:
    assert version_1(before, a_look(12, 1))["requests_per_second"] is None


def test_a_version_that_nobody_counted_is_shown_without_figures() -> None:
    line = top_view.body(compare(a_look(0, 0), a_look(1, 0)))[2]

    assert line.split() == ["2", "LOADING", "0", "%", *"---------"]


def test_a_line_shows_share_rates_errors_latencies_and_what_is_used() -> None:
    titles, line, *_ = top_view.body(compare(a_look(0, 0), a_look(1, 98, 2)))

    assert titles.split() == list(top_view.TITLES)
    assert re.split(r"  +", line) == [
        "fraud", "1", "READY", "95 %", "100.0", "2.0", "2.00 %", "1.23 ms", "10 ms", "100 ms", "980.0", "9.8 %", "3 MiB"
    ]  # fmt: skip


def test_a_rollout_is_shown_with_each_e_value_against_its_threshold() -> None:
    lines = top_view.body(compare(a_look(0, 0), a_look(1, 0, rollout=ROLLOUT)))

    assert lines[3:] == [
        "  rollout of version 2 against 1: step 2 of 3, 41 s left, inconclusive",
        "  e-values: errors 3.25 of 100, latency 0.5 of 400",
    ]


def test_of_several_candidates_each_has_its_e_values_and_not_only_the_one_that_decides() -> None:
    other = {"e_values": {"errors": 0.75}, "thresholds": {"errors": 50.0}}
    candidates = [{"version": version, "state": "live", "reason": ""} for version in ("2", "3")]
    several = {**ROLLOUT, "candidates": candidates, "verdicts": {**ROLLOUT["verdicts"], "3": other}}

    lines = top_view.body(compare(a_look(0, 0), a_look(1, 0, rollout=several)))

    assert lines[4:] == [
        "  e-values of version 2: errors 3.25 of 100, latency 0.5 of 400", "  e-values of version 3: errors 0.75 of 50",
    ]  # fmt: skip


def test_what_is_over_has_no_e_values() -> None:
    lines = top_view.body(compare(a_look(0, 0), a_look(1, 0, rollout={**ROLLOUT, "is_over": True})))

    assert len(lines) == 4


@pytest.mark.parametrize(("width", "height"), [(80, 24), (20, 5), (1, 1), (200, 3)])
def test_a_page_has_exactly_the_size_of_its_screen(width: int, height: int) -> None:
    lines, _ = top_view.page([f"line {number} " + "x" * 100 for number in range(50)], "head", width, height, 0)

    assert len(lines) == height
    assert all(len(line) <= width for line in lines)


def test_scrolling_ends_at_both_ends_and_says_how_much_is_hidden() -> None:
    rows = ["titles", *map(str, range(50))]

    top, at_the_top = top_view.page(rows, "head", 200, 13, -5)
    bottom, at_the_bottom = top_view.page(rows, "head", 200, 13, 999)

    assert (at_the_top, at_the_bottom) == (0, 40)
    assert (top[2], bottom[-2]) == ("0", "49")
    assert "40 below" in top[-1]
    assert "40 lines above" in bottom[-1]


@pytest.mark.parametrize(("name", "can"), [("xterm-256color", True), ("dumb", False), ("", False)])
def test_a_dumb_terminal_is_known_by_its_name(name: str, *, can: bool) -> None:
    assert can_redraw({"TERM": name}) is can


def test_once_prints_a_table_without_any_control_character(routed: Terminal) -> None:
    result = routed.run("top", "--once", "--interval", "0.2")

    assert (result.code, result.out.splitlines()[1].split()[:3]) == (0, ["fraud", "1", "READY"])
    assert result.out.replace("\n", "").isprintable()


def test_json_is_one_object_and_a_model_can_be_named(routed: Terminal) -> None:
    result = routed.run("top", "fraud", "--json", "--interval", "0.2")

    assert [model["name"] for model in json.loads(result.out)["models"]] == ["fraud"]


def test_a_rollout_of_a_gateway_is_read(routed: Terminal, house: House) -> None:
    started = routed.run("rollouts", "start", "fraud", "2", "--step", "10:1m", "--supersede")

    result = routed.run("top", "--json", "--interval", "0.2")

    assert started.code == 0, started.err
    assert json.loads(result.out)["models"][0]["rollout"]["candidate"] == "2"


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["nobody", "--once"], 1, "nobody"),
        (["--interval", "0"], 2, "--interval"),
        (["--interval", "nan"], 2, "--interval"),
        ([], 2, "--once"),
    ],
)
def test_what_cannot_be_watched_is_refused(routed: Terminal, words: list[str], code: int, named: str) -> None:
    result = routed.run("top", *words)

    assert (result.code, named in result.err) == (code, True)


@dataclass
class Window:
    """A terminal with a ``gateway top`` in it."""

    process: subprocess.Popen[bytes]
    master: int
    seen: str = ""

    def until(self, text: str) -> str:
        """Return what came after the last call, up to *text*."""
        end = monotonic() + 20
        while text not in self.seen:
            assert monotonic() < end, f"{text!r} did not come: {self.seen!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode()
                except OSError as exc:  # the other end is closed
                    raise AssertionError(f"{text!r} did not come: {self.seen!r}") from exc
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)


@contextmanager
def window(url: str) -> Iterator[Window]:
    """A window of 100 by 12 in which ``gateway top`` shows its first picture."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "top", "--url", url, "--interval", "60"],
        stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    shown = Window(process, master)
    try:
        shown.until("\x1b[?1049h")
        shown.until("\x1b[?2026l")
        yield shown
    finally:
        process.kill()
        process.wait(10)
        os.close(master)
        os.close(slave)


class TestInATerminal:
    """A real pseudo-terminal."""

    def test_a_picture_is_drawn_over_the_last_and_a_new_size_at_once(self, routed: Terminal) -> None:
        with window(routed.url) as shown:
            shown.resize(60, 6)
            picture = shown.until("\x1b[?2026l")

            assert picture.startswith("\x1b[?2026h\x1b[H")
            assert "\x1b[2J" not in picture
            lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", picture).split("\r\n")
            assert (len(lines), max(map(len, lines))) == (6, 60)
            assert lines[2].startswith("fraud  1")

    @pytest.mark.parametrize(("how", "code"), [("q", 0), ("\x03", 130), ("SIGTERM", 143)])
    def test_the_terminal_is_left_as_it_was(self, routed: Terminal, how: str, code: int) -> None:
        with window(routed.url) as shown:
            mode = termios.tcgetattr(shown.master)
            if how == "SIGTERM":
                shown.process.terminate()
            elif how == "\x03":  # as the terminal makes of Ctrl-C, where it controls the session
                assert mode[3] & termios.ISIG
                shown.process.send_signal(signal.SIGINT)
            else:
                os.write(shown.master, how.encode())
            shown.until("\x1b[?7h\x1b[?25h\x1b[?1049l")

            assert shown.process.wait(10) == code
            assert termios.tcgetattr(shown.master)[3] & termios.ECHO
            assert not mode[3] & termios.ECHO

    def test_ctrl_z_does_not_leave_a_shell_on_the_other_screen(self, routed: Terminal) -> None:
        with window(routed.url) as shown:
            assert termios.tcgetattr(shown.master)[6][termios.VSUSP] == b"\x00"


def test_a_gateway_that_goes_away_is_waited_for() -> None:
    heads: list[str] = []
    looks: Iterator[CommandFailed | Look] = iter([CommandFailed("nothing answers"), a_look(2, 10)])

    class FakeScreen:
        def draw(self, lines: list[str]) -> None:
            heads.append(lines[0])

        def wait(self, seconds: float) -> str:
            return "q" if len(heads) == 3 else ""

        def size(self) -> tuple[int, int]:
            return 200, 20

    def next_look(*_: object) -> Look:
        found = next(looks)
        if isinstance(found, CommandFailed):
            raise found
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top, "look", next_look)
        client: Any = type("Client", (), {"url": "http://here"})
        args: Any = type("Args", (), {"models": [], "interval": 0.0})
        top._watch(args, client, a_look(0, 0), FakeScreen())  # type: ignore[arg-type]  # what is asked of a screen here

    assert ["nothing answers" in head for head in heads] == [False, True, False]
