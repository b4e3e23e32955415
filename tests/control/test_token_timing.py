"""How long a wrong token is looked at does not depend on where it is wrong.

Two looks at it. The steps that Python takes are counted, which no busy machine can move. And the time is measured of
pairs, each a token that is wrong at its beginning and one that is wrong at its end, in an order that is drawn: where
it makes no difference, either is the slower one with even chances, whatever the machine does beside. So the number of
pairs in which one kind is slower is binomial, and the sign test's false alarms are exact: less than one in 10,000 runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import sys
import time
from math import comb
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.token_file import TokenFile
from gateway.core.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    Look = Callable[[str], None]

PAIRS = 1000
FALSE_ALARM = 1e-4
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKEN = "".join(random.Random(35).choices(LETTERS, k=1024))
"""So long that what would be told byte by byte is told loudly."""


def rare_from(pairs: int) -> int:
    """Return from which number of *pairs* on it is rarer than FALSE_ALARM, of both sides, that one kind is slower."""
    tail = 0.0
    for count in range(pairs, -1, -1):
        tail += 2 * comb(pairs, count) / 2**pairs
        if tail > FALSE_ALARM:
            return count + 1
    raise AssertionError("fewer pairs than can tell anything")


def wrong(draw: random.Random) -> tuple[str, str]:
    """Return a token that shares nothing with TOKEN from its first byte on, and one that shares all but the last bytes.

    Each is another one each time: whoever repeats one is only told so.
    """
    tail = "".join(draw.choices(LETTERS, k=4))
    return "-" + "".join(draw.choices(LETTERS, k=len(TOKEN) - 1)), TOKEN[:-5] + "-" + tail


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """The check of the admin port; minutes pass between two wrong tokens, so that nobody is shut out."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    file = tmp_path / "tokens.yaml"
    file.write_text(f"tokens: [{{name: ci, sha256: {digest}, role: admin}}]")
    now = 0.0

    def clock() -> float:
        return now

    door = TokenFile(file, clock=clock)

    def look(token: str) -> None:
        nonlocal now
        now += 120.0
        with contextlib.suppress(Unauthenticated):
            door.identify("192.0.2.7", {"authorization": f"Bearer {token}"})

    return look


def leaky(token: str) -> None:
    """Compare as nobody may: stop at the first wrong byte."""
    for shown, known in zip(token, TOKEN, strict=True):
        if shown != known:
            return


def steps(look: Look, token: str) -> int:
    """Return how many steps of Python's interpreter looking at *token* takes."""
    counted = 0

    def see(frame: FrameType, event: str, _: object) -> Any:
        nonlocal counted
        frame.f_trace_opcodes = True
        counted += event == "opcode"
        return see

    before = sys.gettrace()
    sys.settrace(see)
    try:
        look(token)
    finally:
        sys.settrace(before)
    return counted


def lopsided(look: Look) -> tuple[int, int]:
    """Return in how many pairs the kind that is slower more often is so, and how many pairs told anything."""
    draw, ends, told = random.Random(20_261_122), 0, 0
    for _ in range(PAIRS):
        pair = wrong(draw)
        took = [0, 0]
        for place in draw.sample((0, 1), 2):
            began = time.perf_counter_ns()
            look(pair[place])
            took[place] = time.perf_counter_ns() - began
        told += took[0] != took[1]
        ends += took[1] > took[0]
    return max(ends, told - ends), told


def test_a_wrong_beginning_takes_the_same_steps_as_a_wrong_end(look: Look) -> None:
    draw = random.Random(20_261_122)
    begun, ended = wrong(draw)
    for each in wrong(draw):
        look(each)  # what is made at the first look is made

    assert steps(look, begun) == steps(look, ended) > 100


def test_control_a_comparison_that_stops_at_the_first_wrong_byte_takes_other_steps() -> None:
    begun, ended = wrong(random.Random(20_261_122))

    assert steps(leaky, begun) < steps(leaky, ended)


def test_a_wrong_beginning_takes_as_long_as_a_wrong_end(look: Look) -> None:
    slower, told = lopsided(look)

    assert slower < rare_from(told), f"one kind was slower in {slower} of {told} pairs"


def test_control_a_comparison_that_stops_at_the_first_wrong_byte_is_found(look: Look) -> None:
    def both(token: str) -> None:
        look(token)
        leaky(token)

    slower, told = lopsided(both)

    assert slower >= rare_from(told), f"one kind was slower in {slower} of {told} pairs: the test is blind"
