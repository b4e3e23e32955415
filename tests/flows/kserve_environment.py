"""The environment in which KServe's SDK lies, beside ours."""

from __future__ import annotations

from typing import Final

import pytest

from tests.flows.gateway_process import ROOT

MADE: Final = ROOT / ".venv-kserve" / ".made"
PYTHON: Final = ROOT / ".venv-kserve" / "bin" / "python"

needs_kserve: Final = pytest.mark.skipif(
    not MADE.exists(), reason="the KServe SDK is not installed; `make kserve` puts it into .venv-kserve"
)
