"""The world of the learning demo: handwritten digits that nobody trained on, and what happens to them half-way.

Real rows, drawn with replacement. Some are never labelled: what a version is worth on those, no learner can have known.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

MODEL: Final = "digits"
SIDE: Final = 8
PIXELS: Final = SIDE * SIDE
CLASSES: Final = 10
TEST_SIZE: Final = 0.3
SEED: Final = 7
"""How the rows were divided when the shipped versions were trained; ``tools/training/data.py`` says the same."""
UNSEEN_ROWS: Final = 140


@dataclass
class World:
    """*rows* [n, 64] and *digits* [n] are what callers ask and what is true; *unseen* and *unseen_digits* are not sent.

    is_on_its_side: the scanner was put so, every picture is a quarter turn to the left. has_wrong_labels: whoever joins
    the labels is off by one, and every digit is said to be the next one.
    """

    rows: Array
    digits: Array
    unseen: Array
    unseen_digits: Array
    draws: random.Random
    is_on_its_side: bool = False
    has_wrong_labels: bool = False

    def picture(self) -> tuple[list[float], int]:
        """Return the pixels of one picture as the scanner gives it, and which digit it is."""
        number = self.draws.randrange(len(self.rows))
        return self.scanned(self.rows[number : number + 1])[0].tolist(), int(self.digits[number])

    def scanned(self, rows: Array) -> Array:
        """Return pictures [n, 64] as the scanner gives them now, a quarter turn to the left where it is on its side."""
        if not self.is_on_its_side:
            return rows
        return rows.reshape(-1, SIDE, SIDE).transpose(0, 2, 1)[:, ::-1].reshape(-1, PIXELS)

    def said(self, digit: int) -> int:
        """Return the label that comes back for *digit*."""
        return (digit + 1) % CLASSES if self.has_wrong_labels else digit


def digits_world(seed: int = SEED) -> World:
    """Return the digits that the shipped versions were not trained on, in two parts; *seed* draws the stream."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    rows, digits = load_digits(return_X_y=True)
    _, rows, _, digits = train_test_split(rows, digits, test_size=TEST_SIZE, random_state=SEED, stratify=digits)
    rows, unseen, digits, unseen_digits = train_test_split(
        rows, digits, test_size=UNSEEN_ROWS, random_state=SEED, stratify=digits
    )
    return World(rows, digits, unseen, unseen_digits, random.Random(seed))


def write_table(world: World, path: Path) -> None:
    """Write the rows that callers send as CSV with their digits, for ``gateway models evaluate``."""
    lines = [",".join([*(f"pixel{number}" for number in range(PIXELS)), "target"])]
    lines += [
        ",".join([*(f"{value:g}" for value in row), str(digit)])
        for row, digit in zip(world.rows.tolist(), world.digits.tolist(), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
