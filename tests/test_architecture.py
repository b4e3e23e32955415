"""Who may import whom, who may read the environment, and what the core may not do.

Every rule is a function of a mapping module → source, so that each is also shown a source that breaks it.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Sources = Mapping[str, str]
    Rule = Callable[[Sources], list[str]]

ROOT = Path(__file__).parents[1]

MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "gateway.core": ("gateway.core",),
    "gateway.ports": ("gateway.core", "gateway.ports"),
    "gateway.strict_yaml": (),
    "gateway.bfloat16": (),
    "gateway.models": (
        "gateway.core", "gateway.ports", "gateway.strict_yaml", "gateway.bfloat16", "gateway.models",
    ),
    "gateway.convert": (
        "gateway.core", "gateway.ports", "gateway.strict_yaml", "gateway.models", "gateway.engine", "gateway.convert",
    ),
    "gateway.evaluation": (
        "gateway.core", "gateway.ports", "gateway.strict_yaml", "gateway.models", "gateway.engine", "gateway.convert",
        "gateway.evaluation",
    ),
    "gateway.optimization": (
        "gateway.core", "gateway.ports", "gateway.strict_yaml", "gateway.models", "gateway.engine", "gateway.convert",
        "gateway.evaluation", "gateway.optimization",
    ),
    "gateway.learning": (
        "gateway.core", "gateway.ports", "gateway.strict_yaml", "gateway.models", "gateway.convert", "gateway.learning",
    ),
    "gateway.notifications": ("gateway.core", "gateway.ports", "gateway.strict_yaml", "gateway.notifications"),
    "gateway.labels": ("gateway.core", "gateway.ports", "gateway.labels"),
    "gateway.recordings": ("gateway.core", "gateway.ports", "gateway.recordings"),
    "gateway.verification": (
        "gateway.core", "gateway.ports", "gateway.models", "gateway.verification",
    ),
    "gateway.serving": ("gateway.core", "gateway.ports", "gateway.models", "gateway.serving"),
    "gateway.control": ("gateway.core", "gateway.ports", "gateway.strict_yaml", "gateway.control"),
    "gateway.rest": (
        "gateway.core", "gateway.ports", "gateway.models", "gateway.serving", "gateway.rest", "gateway.bfloat16",
        "gateway.__version__",
    ),
    "gateway.rpc": (
        "gateway.core", "gateway.ports", "gateway.models", "gateway.serving", "gateway.rpc", "gateway.bfloat16",
        "gateway.__version__",
    ),
    "gateway.store": ("gateway.core", "gateway.ports", "gateway.store"),
    "gateway.engine": ("gateway.core", "gateway.ports", "gateway.bfloat16", "gateway.engine"),
    "gateway.telemetry": ("gateway.core", "gateway.ports", "gateway.telemetry", "gateway.__version__"),
    "gateway.settings": ("gateway.core",),
}  # fmt: skip
"""Package or module → what of ours it may import, under TYPE_CHECKING too. The rest has rules of its own below."""

FOREIGN: Mapping[str, tuple[str, ...]] = {
    "redis": ("gateway.store",),
    "onnxruntime": ("gateway.engine",),
    "prometheus_client": ("gateway.telemetry",),
    "starlette": ("gateway.rest", "gateway.control"),
    "grpc": (),
    "grpc_reflection": (),
    "hpack": ("gateway.rpc",),
    "opentelemetry": ("gateway.telemetry",),
    "google.protobuf": ("gateway.rpc",),
    "fsspec": ("gateway.models.objects",),
    "cryptography": ("gateway.models.signing",),
}
"""A package that only an edge may know, and who that is: nothing on the path of a request imports redis."""

IMPURE = frozenset(
    {"asyncio", "datetime", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading",
     "time", "uuid"}
)  # fmt: skip
"""Of the standard library, what the core may not import: clocks, chance, the disk and the network."""

STARTS_PROCESSES = (
    "gateway.cli.serve",
    "gateway.cli.demo_gateway",
    "gateway.cli.doctor",
    "gateway.cli.checkup",
    "gateway.cli.security_checks",
    "gateway.cli.store_checks",
    "gateway.cli.learn",
    "gateway.cli.backup",
    "gateway.cli.restore",
    "gateway.cli.stored",
)
"""The commands that look behind the admin API, because they start what answers it or ask why it does not; the one that
reads a stream as long as it lives, which no API hands on; and those that are wanted when no gateway runs."""

BEHIND_THE_API = ("gateway.store", "gateway.engine", "gateway.assemble", "gateway.processes", "gateway.serving")

READS_ENVIRONMENT: Mapping[str, str] = {
    "gateway.settings": "it is its task",
    "gateway.processes.preloading": "sets the switches that onnxruntime and numpy read when they are imported",
    "gateway.convert": "sets the switch that onnxruntime reads when it is imported",
    "gateway.convert.confined": "gives the process that reads a pickle what it needs of it, and no secret",
    "gateway.store.embedded": "asks the system where short-lived sockets belong",
}
"""Who touches the environment, and why."""


@dataclass(frozen=True)
class Import:
    """One imported name; *runs* where it is executed when its module is."""

    module: str
    name: str
    line: int
    runs: bool

    def is_of(self, *packages: str) -> bool:
        return any(self.name == each or self.name.startswith(f"{each}.") for each in packages)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


def is_within(module: str, *packages: str) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in packages)


def imports(sources: Sources) -> list[Import]:
    """Return every import; ``from package import module`` counts as the module where *sources* has it."""
    return [each for module, source in sources.items() for each in _imports(module, source, sources)]


def _imports(module: str, source: str, sources: Sources) -> Iterator[Import]:
    for node, runs in _statements(source):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, runs)
        else:
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                is_module = whole in sources or base == "gateway"
                yield Import(module, whole if is_module else base, node.lineno, runs)


@cache
def _statements(source: str) -> tuple[tuple[ast.Import | ast.ImportFrom, bool], ...]:
    """Return every statement that imports, and whether it is executed when the module is imported."""
    nodes = _walk(ast.parse(source), runs=True)
    return tuple((node, runs) for node, runs in nodes if isinstance(node, ast.Import | ast.ImportFrom))


def _walk(tree: ast.AST, *, runs: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node, and whether it is executed when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        inside = runs and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            inside = False
        yield node, runs
        yield from _walk(node, runs=inside)


@cache
def ours() -> Sources:
    """Return every module of the product."""
    found = {}
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return found


# The rules


def layers(sources: Sources) -> list[str]:
    """A package imports of ours only what lies below it."""
    found = []
    for each in imports(sources):
        package = next((name for name in MAY_IMPORT if is_within(each.module, name)), None)
        if package is not None and each.is_of("gateway") and not each.is_of(*MAY_IMPORT[package]):
            found.append(str(each))
    return found


def core_is_pure(sources: Sources) -> list[str]:
    """The core imports the pure part of the standard library, and never waits."""
    found = [
        str(each)
        for each in imports(sources)
        if is_within(each.module, "gateway.core") and not each.is_of("gateway") and not _is_pure(each.name)
    ]
    for module, source in sources.items():
        if is_within(module, "gateway.core"):
            waits = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
            found += [
                f"{module}:{getattr(node, 'lineno', 0)} waits" for node in ast.walk(ast.parse(source))
                if isinstance(node, waits)
            ]  # fmt: skip
    return found


def _is_pure(name: str) -> bool:
    top = name.split(".", maxsplit=1)[0]
    return top in sys.stdlib_module_names and top not in IMPURE


def ports_hold_types_only(sources: Sources) -> list[str]:
    """At run time the ports import the standard library only; numpy is a type there."""
    return [
        str(each)
        for each in imports(sources)
        if is_within(each.module, "gateway.ports")
        and not each.is_of("gateway")
        and (each.runs or not each.is_of("numpy"))
        and each.name.split(".", maxsplit=1)[0] not in sys.stdlib_module_names
    ]


def foreign_packages_stay_at_their_edge(sources: Sources) -> list[str]:
    """Redis is known in the store only, the runtime in the engine only, and so on."""
    return [
        str(each)
        for each in imports(sources)
        for package, owners in FOREIGN.items()
        if each.is_of(package) and not is_within(each.module, *owners)
    ]


def assembling_is_for_processes(sources: Sources) -> list[str]:
    """What knows every part is known by those who start it, and by nobody else."""
    return [
        str(each)
        for each in imports(sources)
        if each.is_of("gateway.assemble") and not is_within(each.module, "gateway.assemble", "gateway.processes")
    ]


def commands_use_the_admin_api(sources: Sources) -> list[str]:
    """A command talks to the admin API, never past it."""
    return [
        str(each)
        for each in imports(sources)
        if is_within(each.module, "gateway.cli")
        and each.is_of(*BEHIND_THE_API)
        and not is_within(each.module, *STARTS_PROCESSES)
    ]


def nobody_imports_the_commands(sources: Sources) -> list[str]:
    """The command line is the outermost room."""
    return [
        str(each)
        for each in imports(sources)
        if each.is_of("gateway.cli") and not is_within(each.module, "gateway.cli", "gateway.__main__")
    ]


FOR_COMMANDS = ("gateway.convert", "gateway.evaluation", "gateway.learning", "gateway.optimization")
"""Rooms that no server enters."""


def only_commands_convert(sources: Sources) -> list[str]:
    """A server makes and judges no version: the libraries for that take seconds to import and are an extra."""
    return [
        str(each)
        for each in imports(sources)
        if each.is_of(*FOR_COMMANDS) and not is_within(each.module, *FOR_COMMANDS, "gateway.cli")
    ]


def imports_are_absolute(sources: Sources) -> list[str]:
    """A module is named in full."""
    return [str(each) for each in imports(sources) if each.name.startswith(".")]


def the_environment_is_read_in_one_place(sources: Sources) -> list[str]:
    """Nobody reads the environment but the settings, and a few with a reason."""
    found = []
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if isinstance(node, ast.ImportFrom) and node.module == "os":
                name = next((alias.name for alias in node.names if "env" in alias.name), "")
            is_plain_parameter = isinstance(node, ast.Name) and name == "environ"
            if name in {"environ", "environb", "getenv"} and not is_plain_parameter and module not in READS_ENVIRONMENT:
                found.append(f"{module}:{getattr(node, 'lineno', 0)} reads the environment")
    return found


def no_module_is_a_drawer(sources: Sources) -> list[str]:
    """A module's name says what it is for."""
    return [
        module for module in sources if module.rsplit(".", maxsplit=1)[-1] in {"utils", "helpers", "common", "misc"}
    ]


def no_cycles(sources: Sources) -> list[str]:
    """No module needs itself to be imported."""
    needs: dict[str, set[str]] = {module: set() for module in sources}
    for each in imports(sources):
        if each.runs and each.name in sources and each.name != each.module:
            needs[each.module].add(each.name)
    found: list[str] = []
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            found.append(" → ".join((*path[path.index(module) :], module)))
        elif module not in done:
            for each in sorted(needs[module]):
                visit(each, (*path, module))
            done.add(module)

    for module in sources:
        visit(module, ())
    return found


RULES: tuple[Rule, ...] = (
    layers, core_is_pure, ports_hold_types_only, foreign_packages_stay_at_their_edge, assembling_is_for_processes,
    commands_use_the_admin_api, nobody_imports_the_commands, imports_are_absolute, only_commands_convert,
    the_environment_is_read_in_one_place, no_module_is_a_drawer, no_cycles,
)  # fmt: skip

BROKEN: list[tuple[Rule, Sources]] = [
    (layers, {"gateway.core.slots": "from gateway.ports import RouteStore"}),
    (layers, {"gateway.core.slots": "def f():\n    import gateway.settings"}),
    (layers, {"gateway.ports": "from gateway.serving.live import Arm"}),
    (layers, {"gateway.models.catalog": "from gateway.serving.lanes import Lanes"}),
    (layers, {"gateway.serving.live": "from gateway.rest.app import answer"}),
    (layers, {"gateway.serving.watcher": "from gateway.store.redis_store import RedisRouteStore"}),
    (layers, {"gateway.control.operations": "from gateway.serving import live"}),
    (layers, {"gateway.rest.app": "from gateway.telemetry.slab import WorkerSlab"}),
    (layers, {"gateway.rest.app": "from gateway import settings"}),
    (layers, {"gateway.engine.onnx": "if TYPE_CHECKING:\n    from gateway.models.loaded import LoadedVersion"}),
    (layers, {"gateway.store.memory": "from gateway.control.operations import Operations"}),
    (layers, {"gateway.telemetry.slab": "import gateway.store.keys"}),
    (layers, {"gateway.settings": "from gateway.cli import client"}),
    (layers, {"gateway.recordings.desk": "from gateway.serving.lanes import Lanes"}),
    (layers, {"gateway.notifications.courier": "from gateway.control.operations import Operations"}),
    (layers, {"gateway.strict_yaml": "from gateway.core import errors"}),
    (core_is_pure, {"gateway.core.slots": "import time"}),
    (core_is_pure, {"gateway.core.slots": "from random import random"}),
    (core_is_pure, {"gateway.core.slots": "import os.path"}),
    (core_is_pure, {"gateway.core.slots": "import numpy"}),
    (core_is_pure, {"gateway.core.slots": "def f():\n    import logging"}),
    (core_is_pure, {"gateway.core.slots": "async def f() -> None: ..."}),
    (ports_hold_types_only, {"gateway.ports": "import numpy"}),
    (ports_hold_types_only, {"gateway.ports": "if TYPE_CHECKING:\n    import redis"}),
    (foreign_packages_stay_at_their_edge, {"gateway.serving.watcher": "import redis.asyncio"}),
    (foreign_packages_stay_at_their_edge, {"gateway.rest.app": "def f():\n    from redis import Redis"}),
    (foreign_packages_stay_at_their_edge, {"gateway.models.loader": "import onnxruntime"}),
    (foreign_packages_stay_at_their_edge, {"gateway.serving.live": "from prometheus_client import Counter"}),
    (foreign_packages_stay_at_their_edge, {"gateway.assemble.worker": "import grpc.aio"}),
    (layers, {"gateway.rpc.call": "from gateway.rest.envelope import read"}),
    (assembling_is_for_processes, {"gateway.cli.serve": "from gateway.assemble.worker import build_worker"}),
    (assembling_is_for_processes, {"gateway.rest.app": "import gateway.assemble"}),
    (commands_use_the_admin_api, {"gateway.cli.routes": "from gateway.store.redis_store import RedisRouteStore"}),
    (commands_use_the_admin_api, {"gateway.cli.weights": "def f():\n    import gateway.store.keys"}),
    (nobody_imports_the_commands, {"gateway.processes.launcher": "from gateway.cli.output import table"}),
    (only_commands_convert, {"gateway.models.loader": "def f():\n    import gateway.convert.parity"}),
    (only_commands_convert, {"gateway.control.checks": "from gateway.evaluation import gates"}),
    (imports_are_absolute, {"gateway.core.slots": "from . import names"}),
    (imports_are_absolute, {"gateway.core.slots": "from .names import is_model_name"}),
    (the_environment_is_read_in_one_place, {"gateway.rest.app": "import os\nx = os.environ['X']"}),
    (the_environment_is_read_in_one_place, {"gateway.rest.app": "import os\ndef f():\n    return os.getenv('X')"}),
    (the_environment_is_read_in_one_place, {"gateway.rest.app": "from os import environ"}),
    (no_module_is_a_drawer, {"gateway.rest.utils": ""}),
    (no_cycles, {"gateway.a": "import gateway.b", "gateway.b": "from gateway.a import x"}),
    (
        no_cycles,
        {"gateway.a": "from gateway import b", "gateway.b": "import gateway.c", "gateway.c": "import gateway.a"},
    ),
]
"""For each rule, sources that break it."""

SOUND: list[tuple[Rule, Sources]] = [
    (layers, {"gateway.rest.app": "from gateway import __version__"}),
    (ports_hold_types_only, {"gateway.ports": "if TYPE_CHECKING:\n    from numpy.typing import NDArray"}),
    (no_cycles, {"gateway.a": "import gateway.b", "gateway.b": "def f():\n    import gateway.a"}),
    (no_cycles, {"gateway.a": "import gateway.b", "gateway.b": "if TYPE_CHECKING:\n    import gateway.a"}),
]
"""Sources that a rule that is too strict would refuse."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule: Rule) -> None:
    broken = rule(ours())

    assert broken == [], rule.__doc__


@pytest.mark.parametrize(("rule", "sources"), BROKEN, ids=lambda each: getattr(each, "__name__", ""))
def test_a_source_that_breaks_a_rule_is_found(rule: Rule, sources: Sources) -> None:
    assert rule(sources)


@pytest.mark.parametrize(("rule", "sources"), SOUND, ids=lambda each: getattr(each, "__name__", ""))
def test_a_source_that_keeps_a_rule_is_let_be(rule: Rule, sources: Sources) -> None:
    assert rule(sources) == []


def test_every_rule_is_shown_a_source_that_breaks_it() -> None:
    assert {rule for rule, _ in BROKEN} == set(RULES)


def test_the_whole_house_was_looked_at() -> None:
    packages = {module.split(".")[1] for module in ours() if "." in module}

    assert packages >= {"core", "ports", "serving", "models", "rest", "control", "store", "engine", "telemetry", "cli"}
    assert len(imports(ours())) > 300


def test_whoever_may_touch_the_environment_still_does() -> None:
    still = {module for module in READS_ENVIRONMENT if "environ" in ours().get(module, "")}

    assert still == set(READS_ENVIRONMENT)
