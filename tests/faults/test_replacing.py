"""Every way to break a gateway still finds what it breaks; who renames a part learns it here, not in a control."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults import inside
from tests.faults.replacing import replace

BREAK_ALL = "from tests.faults.inside import BREAKS; [breaks() for breaks in BREAKS.values()]"


class Part:
    """Something of a gateway."""

    SECONDS = 1.0


def test_a_break_of_what_was_renamed_is_refused_and_sets_nothing() -> None:
    with pytest.raises(AttributeError, match="MINUTES"):
        replace(Part, "MINUTES", 2.0)

    assert not hasattr(Part, "MINUTES")


def test_what_is_replaced_is_found_in_its_place() -> None:
    replace(Part, "SECONDS", 2.0)

    assert Part.SECONDS == 2.0


def test_every_break_finds_what_it_breaks() -> None:
    found = subprocess.run(
        [sys.executable, "-c", BREAK_ALL],
        env={**os.environ, inside.STORE_URL: "redis://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (found.returncode, found.stderr) == (0, "")
