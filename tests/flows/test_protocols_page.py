"""Every example of `docs/protocols.md` runs against a real gateway and prints what the page shows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import pytest

from tests.flows.conftest import close_all, prepare
from tests.flows.gateway_process import ROOT
from tests.flows.kserve_environment import MADE, PYTHON
from tests.flows.test_grpc import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAGE: Final = (ROOT / "docs" / "protocols.md").read_text()
SCRIPTS: Final = re.findall(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CURLS: Final = re.findall(r"^\$ (curl .*)\n((?:[^$`].*\n)*)", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Put the addresses of a running gateway into an example."""
    port = free_port()
    flags = ("--grpc-port", str(port))
    gateway = prepare(
        tmp_path_factory.mktemp("page"), models=ROOT / "models", routes=ROOT / "routing_configs", flags=flags
    )
    try:
        gateway.start()
        yield lambda text: text.replace("127.0.0.1:8080", f"127.0.0.1:{gateway.port}").replace(
            "127.0.0.1:8081", f"127.0.0.1:{port}"
        )
    finally:
        close_all([gateway])


def rounded(text: str) -> str:
    """Return *text* with its fractions at the precision in which all processors agree."""
    return re.sub(r"\d+\.\d+(?=[,\]])", lambda found: f"{float(found[0]):.4f}", text.strip())


def ran(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(("line", "shown"), CURLS)
def test_a_curl_prints_what_the_page_shows(placed: Callable[[str], str], tmp_path: Path, line: str, shown: str) -> None:
    printed = ran("bash", "-c", placed(line), cwd=tmp_path)

    assert rounded(printed) == rounded(shown)
    if "answer.bin" in line:
        assert b"concurrency" in (tmp_path / "answer.bin").read_bytes()


@pytest.mark.parametrize(("script", "shown"), SCRIPTS, ids=lambda text: text.splitlines()[-1])
def test_a_client_prints_what_the_page_shows(
    placed: Callable[[str], str], tmp_path: Path, script: str, shown: str
) -> None:
    of_kserve = "from kserve import" in script
    if of_kserve and not MADE.exists():
        pytest.skip("the KServe SDK is not installed; `make kserve` puts it into .venv-kserve")
    if not of_kserve and find_spec("tritonclient") is None:
        pytest.skip("the extra `peers` is not installed")

    printed = ran(str(PYTHON if of_kserve else sys.executable), "-c", placed(script), cwd=tmp_path)

    assert printed == shown


def test_every_client_has_its_example() -> None:
    imported = {name for script, _ in SCRIPTS for name in re.findall(r"^(?:import|from) (\S+)", script, re.MULTILINE)}

    triton = {f"tritonclient.{name}" for name in ("http", "http.aio", "grpc", "grpc.aio")}
    assert imported >= triton | {"kserve"}
    assert all(f'protocol="{protocol}"' in PAGE for protocol in ("v1", "v2"))
    assert len(CURLS) == 3
    assert PAGE.count("```python") == len(SCRIPTS)
