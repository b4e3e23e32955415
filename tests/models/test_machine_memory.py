"""How much memory models may take where nobody says so, read from files that look like the system's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.models.memory import anonymous_bytes, for_models, shown

if TYPE_CHECKING:
    from pathlib import Path

GIGABYTE = 1 << 30


def machine(root: Path, **files: str) -> Path:
    """Return a root whose machine has 16 GiB, with *files*, whose names have two underscores for a slash."""
    for name, text in {"proc__meminfo": f"MemTotal: {16 << 20} kB\nMemFree: 1 kB\n", **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("name", "text", "gigabytes"),
    [
        ("sys__fs__cgroup__memory.max", f"{4 * GIGABYTE}\n", 3),
        ("sys__fs__cgroup__memory.max", "max\n", 12),
        ("sys__fs__cgroup__memory__memory.limit_in_bytes", f"{8 * GIGABYTE}\n", 6),
        ("sys__fs__cgroup__memory__memory.limit_in_bytes", f"{2**63 - 4096}\n", 12),
    ],
)
def test_models_may_take_three_quarters_of_the_machine_or_its_container(
    tmp_path: Path, name: str, text: str, gigabytes: int
) -> None:
    assert for_models(machine(tmp_path, **{name: text})) == gigabytes * GIGABYTE


def test_a_system_that_does_not_tell_bounds_nothing(tmp_path: Path) -> None:
    assert for_models(tmp_path) == 0


def test_what_this_process_takes_grows_with_what_it_fills() -> None:
    before = anonymous_bytes()

    filled = b"\x01" * (32 << 20)

    assert len(filled) * 0.9 < anonymous_bytes() - before < len(filled) * 1.5
    assert shown(len(filled)) == "32.0 MiB"
