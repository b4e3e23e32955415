"""Loading and unloading gives memory back: R14, with its control."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.engine import graphs

if TYPE_CHECKING:
    from pathlib import Path

CYCLES = """
import sys
from pathlib import Path

import numpy as np

from gateway.engine.onnx import OnnxEngine
from gateway.models import loader as module
from gateway.models.repository import Repository

root, blobs, trims = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "trim"
if not trims:
    module.give_memory_back = lambda: None
files = Repository(root).scan().versions["heavy"]
loader = module.Loader(OnnxEngine(), blobs)


def resident_megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


for cycle in range(20):
    for version in (1, 2):
        prepared = loader.load(files[version])
        prepared.session.run({"x": np.ones((64, 1024), np.float32)})
        last = [prepared.session]
        del prepared
        loader.destroy(last)
    print(resident_megabytes(), flush=True)
"""


def resident_after_each_cycle(tmp_path: Path, mode: str) -> list[float]:
    for version, megabytes in ((1, 24), (2, 16)):
        path = tmp_path / "models" / "heavy" / str(version) / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(graphs.heavy(megabytes))
    done = subprocess.run(
        [sys.executable, "-c", CYCLES, str(tmp_path / "models"), str(tmp_path / "blobs"), mode],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return [float(line) for line in done.stdout.split()]


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and only glibc keeps what is freed")


def test_20_cycles_of_loading_and_unloading_stay_flat(tmp_path: Path) -> None:
    resident = resident_after_each_cycle(tmp_path, "trim")

    assert len(resident) == 20
    assert resident[-1] - resident[3] < 0.5 * 16


def test_control_without_the_trim_the_cycles_keep_what_was_freed(tmp_path: Path) -> None:
    flat = resident_after_each_cycle(tmp_path, "trim")

    grown = resident_after_each_cycle(tmp_path, "no trim")

    assert max(grown) > max(flat) + 24
