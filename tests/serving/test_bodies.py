"""How many bytes of bodies one worker holds at once."""

from __future__ import annotations

import pytest

from gateway.core.errors import BodiesOverloaded
from gateway.serving.bodies import SMALL_BYTES, SMALL_ROOM, Bodies

MOST = 10 * SMALL_BYTES
LARGE = SMALL_BYTES + 1


def test_bodies_are_let_in_up_to_the_limit_and_not_beyond() -> None:
    bodies = Bodies(2 * LARGE)
    bodies.change(0, LARGE)
    bodies.change(0, LARGE)

    with pytest.raises(BodiesOverloaded):
        bodies.change(0, LARGE)
    assert bodies.held == 2 * LARGE


def test_what_is_given_back_is_there_for_the_next() -> None:
    bodies = Bodies(LARGE)
    bodies.change(0, LARGE)
    bodies.change(LARGE, 0)

    bodies.change(0, LARGE)

    assert bodies.held == LARGE


def test_a_body_that_grows_is_counted_once() -> None:
    bodies = Bodies(MOST)
    bodies.change(0, SMALL_BYTES)
    bodies.change(0, LARGE)

    bodies.change(LARGE, MOST - SMALL_BYTES)

    assert bodies.held == MOST


def test_a_body_that_cannot_grow_keeps_what_it_has() -> None:
    bodies = Bodies(MOST)
    bodies.change(0, LARGE)
    bodies.change(0, LARGE)

    with pytest.raises(BodiesOverloaded):
        bodies.change(LARGE, MOST)
    assert bodies.held == 2 * LARGE


def test_a_body_that_is_alone_has_no_limit_but_its_own() -> None:
    bodies = Bodies(MOST)

    bodies.change(0, 3 * MOST)

    assert bodies.held == 3 * MOST


def test_a_small_body_finds_room_where_a_large_one_finds_none() -> None:
    bodies = Bodies(MOST)
    bodies.change(0, MOST)

    bodies.change(0, SMALL_BYTES)

    with pytest.raises(BodiesOverloaded):
        bodies.change(0, LARGE)


def test_small_bodies_are_bounded_too() -> None:
    bodies = Bodies(MOST)
    bodies.change(0, MOST)
    for _ in range(SMALL_ROOM // SMALL_BYTES):
        bodies.change(0, SMALL_BYTES)

    with pytest.raises(BodiesOverloaded):
        bodies.change(0, SMALL_BYTES)
