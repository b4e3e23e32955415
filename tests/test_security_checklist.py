"""The security checklist names tests that exist, and what holds for the whole source is looked for in all of it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security-checklist.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| `(tests/[\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)

PICKLES = {"pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib"}
READS_PICKLES = ("gateway/convert/", "gateway/learning/")
"""Rooms for what an operator trusts by a flag, or wrote itself; no process that serves imports them."""

SECRET = re.compile(r"token|secret|digest|password", re.IGNORECASE)
DOORS = ("control/auth.py", "control/token_file.py", "control/proxy.py")


def sources() -> Mapping[str, ast.Module]:
    files = (ROOT / "gateway").rglob("*.py")
    return {str(each.relative_to(ROOT)): ast.parse(each.read_text(encoding="utf-8")) for each in files}


def compared(tree: ast.AST) -> Iterator[str]:
    """Yield each comparison by ``==`` or ``!=`` that has a secret's name on a side."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops):
            names = [ast.unparse(each) for each in (node.left, *node.comparators)]
            if any(SECRET.fullmatch(name.rpartition(".")[2].strip("_")) for name in names):
                yield ast.unparse(node)


def reading_pickles(tree: ast.AST) -> Iterator[str]:
    """Yield each import that could read a pickle, and each numpy file that is opened so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in named if name.partition(".")[0] in PICKLES)
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield "allow_pickle"


def test_every_row_names_a_test_that_exists() -> None:
    rows = ROW.findall(PAGE)
    missing = [
        f"{path}::{name}"
        for *_, path, name in rows
        if not re.search(rf"^\s*(?:async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert [int(number) for number, *_ in rows] == list(range(1, 41))
    assert len(rows) == PAGE.count("\n| ") - 1  # without the title; every other row was read
    assert missing == []


def test_no_secret_is_compared_with_an_operator() -> None:
    trees = sources()

    assert [found for each in DOORS for found in compared(trees[f"gateway/{each}"])] == []
    assert any("compare_digest" in ast.unparse(trees[f"gateway/{each}"]) for each in DOORS)


@pytest.mark.parametrize("source", ["token == shown", "self._secret != x", "known.digest == digest"])
def test_control_a_secret_that_is_compared_is_found(source: str) -> None:
    assert list(compared(ast.parse(source)))


def test_nothing_that_serves_can_read_a_pickle() -> None:
    found = {name: list(reading_pickles(tree)) for name, tree in sources().items()}

    assert {name: each for name, each in found.items() if each and not name.startswith(READS_PICKLES)} == {}


@pytest.mark.parametrize("source", ["import pickle", "from joblib import load", "np.load(f, allow_pickle=True)"])
def test_control_what_reads_a_pickle_is_found(source: str) -> None:
    assert list(reading_pickles(ast.parse(source)))


def test_there_is_a_way_to_report_a_weakness() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")

    assert "## Reporting" in text
    assert "in private" in text
