"""What a start imports: before the fork, once for all processes, and no more than is used.

Held by names and counts, for seconds depend on the machine. Each test is a launcher of its own, for what is imported
cannot be taken back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the store's end with its parent is Linux's")

LIBRARIES: Final = {
    "anyio", "click", "cryptography", "google", "hiredis", "hpack", "httptools", "msgspec", "numpy", "onnxruntime",
    "orjson", "prometheus_client", "redis", "starlette", "typing_extensions", "uvicorn", "uvloop", "yaml",
    *(["async_timeout"] if sys.version_info < (3, 11, 3) else []),
}  # fmt: skip
"""Of other people; redis looks whether cryptography is there. Whoever adds one says what it costs each start."""

OURS: Final = 380
ALL: Final = 1_000
"""So many modules at most, 349 and 938 when this was written: each takes 0.7 ms of every start."""

PRELOADED: Final = """
import gc, json, sys
from gateway.processes.preloading import preload, preload_control
"""

GATEWAY: Final = """
import json, os, signal, sys
from pathlib import Path
from gateway.processes import control, launcher, tree, worker
from gateway.settings import Settings
from gateway.store.embedded import EmbeddedServer
from gateway.store.server_binary import find_server

imported = set()

class Child(tree.Child):
    def __init__(self, *given):
        imported.update(sys.modules)
        super().__init__(*given)

tree.Child = Child

def tells(of):
    say_ready = of._say_ready
    def say(self, *given):
        before = self._ready_fd
        say_ready(self, *given)
        if given or before != self._ready_fd:
            late, has_control = sorted(set(sys.modules) - imported), "gateway.assemble.control" in imported
            print(json.dumps([of.__name__, late, has_control]) + chr(10), end="", flush=True)  # in one write
    of._say_ready = say

tells(worker.Worker)
tells(control.Control)
state = Path(sys.argv[1])
settings = Settings(
    workers=1, port=0, admin_port=0, grpc_port=0, state_dir=state,
    models=Path("models"), routes=Path("routing_configs"),
)
store = EmbeddedServer(state, find_server(None))
launcher.Launcher(settings, store, lambda *_: os.kill(os.getpid(), signal.SIGTERM)).run()
"""


def play(script: str, *arguments: str) -> list[Any]:
    """Return what *script* says, a line of JSON each time."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", "true", "false"))]


def test_a_start_imports_these_libraries_and_no_more() -> None:
    (said,) = play(f"""{PRELOADED}
before = set(sys.modules)
preload(grpc=True)
preload_control()
names = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps(sorted(names - sys.stdlib_module_names)))
""")

    assert {name for name in said if not name.startswith(("_", "cython"))} - {"gateway"} <= LIBRARIES


def test_a_start_imports_few_modules() -> None:
    ((ours, together),) = play(f"""{PRELOADED}
preload(grpc=True)
preload_control()
ours = [name for name in sys.modules if name.partition(".")[0] == "gateway"]
print(json.dumps([len(ours), len(sys.modules)]))
""")

    assert ours <= OURS
    assert together <= ALL


def test_a_client_of_collectors_is_there_for_whoever_imports_it_later() -> None:
    pytest.importorskip("opentelemetry.sdk")
    (said,) = play(f"""{PRELOADED}
preload(grpc=False)
before = "opentelemetry" in sys.modules
import opentelemetry.sdk.metrics
print(json.dumps([before, "redis.asyncio" in sys.modules]))
""")

    assert said == [False, True]


def test_a_client_of_collectors_is_shared_where_a_collector_is_named() -> None:
    pytest.importorskip("opentelemetry.sdk")
    (said,) = play(f"""{PRELOADED}
preload(grpc=False, collector=True)
print(json.dumps("opentelemetry.sdk.metrics" in sys.modules))
""")

    assert said


def test_the_collector_of_garbage_is_on_again_after_the_imports_and_leaves_them_alone() -> None:
    (said,) = play(f"""{PRELOADED}
preload(grpc=False)
preload_control()
print(json.dumps([gc.isenabled(), gc.get_freeze_count() > 50_000]))
""")

    assert said == [True, True]


def test_what_all_sessions_share_is_built_before_the_fork() -> None:
    (said,) = play(f"""{PRELOADED}
import os
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
made = []
class Session(onnxruntime.InferenceSession):
    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        made.append(self.get_providers())
onnxruntime.InferenceSession = Session
preload(grpc=False)
print(json.dumps(made))
""")

    assert said == [["CPUExecutionProvider"]]


def test_a_process_imports_nothing_more_until_it_is_ready_and_workers_wait_for_no_module_of_control(
    tmp_path: Path,
) -> None:
    said = play(GATEWAY, str(tmp_path))

    assert sorted(said) == [["Control", [], True], ["Worker", [], False]]
