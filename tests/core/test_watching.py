"""The table of the watcher: what a worker does with what it read."""

from __future__ import annotations

import pytest

from gateway.core.watching import AGREEING_READS, READS_APART_SECONDS, Doubt, Mark, Step, judge

HELD = Mark("a", 7, "d7")


@pytest.mark.parametrize(
    ("held", "seen", "step"),
    [
        (None, None, Step.KEEP),
        (HELD, None, Step.KEEP_AND_ALARM),
        (None, HELD, Step.ADOPT),
        (HELD, HELD, Step.KEEP),
        (HELD, Mark("a", 8, "d8"), Step.ADOPT),
        (HELD, Mark("b", 1, "d1"), Step.ADOPT),
        (HELD, Mark("b", 7, "d7"), Step.ADOPT),
        (HELD, Mark("a", 7, "other"), Step.ADOPT_AND_ALARM),
        (HELD, Mark("a", 6, "d6"), Step.WAIT),
    ],
)
def test_each_state_of_the_store_has_one_answer(held: Mark | None, seen: Mark | None, step: Step) -> None:
    assert judge(held, seen, None, 0.0)[0] is step


def test_an_older_revision_is_adopted_after_agreeing_reads_that_are_apart() -> None:
    older, doubt, steps = Mark("a", 6, "d6"), None, []

    for read in range(AGREEING_READS):
        step, doubt = judge(HELD, older, doubt, read * READS_APART_SECONDS)
        steps.append(step)

    assert steps == [Step.WAIT] * (AGREEING_READS - 1) + [Step.ADOPT_AND_ALARM]
    assert doubt is None


def test_reads_close_together_count_as_one() -> None:
    older, doubt = Mark("a", 6, "d6"), None

    for read in range(10):
        step, doubt = judge(HELD, older, doubt, read * READS_APART_SECONDS / 100)

        assert step is Step.WAIT
    assert doubt == Doubt(older, 1, 0.0)


def test_another_older_state_starts_the_count_again() -> None:
    first = Doubt(Mark("a", 6, "d6"), AGREEING_READS - 1, 0.0)

    step, doubt = judge(HELD, Mark("a", 5, "d5"), first, 9.0)

    assert step is Step.WAIT
    assert doubt == Doubt(Mark("a", 5, "d5"), 1, 9.0)


def test_a_read_of_what_is_held_ends_the_doubt() -> None:
    assert judge(HELD, HELD, Doubt(Mark("a", 6, "d6"), 2, 0.0), 1.0) == (Step.KEEP, None)
