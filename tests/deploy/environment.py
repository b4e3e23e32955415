"""The environment of the tools that judge what is deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
BIN: Final = ROOT / ".venv-ops" / "bin"

needs_ops: Final = pytest.mark.skipif(
    not (ROOT / ".venv-ops" / ".made").exists(),
    reason="Helm's library and its like are not installed; `make ops` puts them into .venv-ops",
)
