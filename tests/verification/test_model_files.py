"""Every kind of bad file from the list of bad inputs, M1 to M24, through the whole life of a version in one worker.

Each is READY, or FAILED with its code; the worker lives, and the sound version beside it is READY.
"""

from __future__ import annotations

import os
import pickle
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.engine.onnx import OnnxEngine
from gateway.models.budget import Budget
from gateway.models.catalog import Catalog
from gateway.models.loading import MAX_MODEL_BYTES
from gateway.models.repository import Repository
from tests.engine import graphs
from tests.engine.graphs import INT64, node, value
from tests.engine.test_bad_models import broken_weights, cycle, nested
from tests.models.fakes import FakeMetrics, renew, status_of
from tests.verification import hurtful
from tests.verification.conftest import MEGABYTE, verifier_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.verification.asking import RemoteVerifier

GOOD = graphs.plus(1.0)
SECRET = struct.pack("<3f", 41.0, 42.0, 43.0)


@dataclass(frozen=True)
class Row:
    """One variant of a row: its file, or who makes it, and what becomes of it."""

    id: str
    variant: str
    content: bytes | Callable[[Path], object]
    code: str = ""
    note: str = ""
    quick: bool = False
    """Whether it is given so little time that sound files might fail too."""


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def one_over_the_cap(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_MODEL_BYTES + 1)


def external(**entries: str) -> Callable[[Path], object]:
    """Return who writes a model whose weights lie where *entries* say, beside what they might lead to."""

    def write(path: Path) -> None:
        outside = path.parents[3] / "secret.bin"
        outside.write_bytes(SECRET)
        (path.parent / "link.bin").symlink_to(outside)
        (path.parent / "linked").symlink_to(outside.parent)
        (path.parent / "hard.bin").hardlink_to(outside)
        (path.parent / "weights.bin").write_bytes(SECRET)
        told = {key: text.format(outside=outside) for key, text in entries.items()}
        path.write_bytes(graphs.with_external_data(**told))

    return write


def divided_by_the_caller(operator: str) -> bytes:
    return graphs.graph(
        node(operator, ["x", "z"], ["y"], name="divide"),
        inputs=[value("x", INT64, ["n"]), value("z", INT64, ["n"])],
        outputs=[value("y", INT64, ["n"])],
    )


def chain(length: int) -> bytes:
    links = [node("Neg", ["x" if each == 0 else f"n{each}"], [f"n{each + 1}"]) for each in range(length - 1)]
    return graphs.graph(*links, node("Neg", [f"n{length - 1}"], ["y"]))


ROWS = [
    Row("M1", "empty", b"", "bad_model"),
    Row("M1", "1 byte", b"\x08", "bad_model"),
    Row("M1", "cut at 50 %", GOOD[: len(GOOD) // 2], "bad_model"),
    Row("M1", "last byte missing", GOOD[:-1], "bad_model"),
    Row("M2", "random bytes", random.Random(2).randbytes(3000), "bad_model"),
    Row("M2", "HTML page", b"<!doctype html><html><body>404</body></html>", "bad_model"),
    Row("M2", "Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n", "bad_model"),
    Row("M2", "pickle", pickle.dumps({"model": [1.0]}), "bad_model"),
    Row("M2", "directory", lambda path: path.mkdir(), "bad_model"),
    Row("M3", "unknown operator", graphs.graph(node("Nope", ["x"], ["y"])), "unsupported"),
    Row("M3", "custom domain", graphs.graph(node("Foo", ["x"], ["y"], domain="com.example")), "unsupported"),
    Row("M3", "opset 99", graphs.graph(node("Identity", ["x"], ["y"]), opset=99), "unsupported"),
    Row("M3", "IR version 99", graphs.graph(node("Identity", ["x"], ["y"]), ir=99), "unsupported"),
    Row("M4", "cycle", cycle(), "bad_model"),
    Row("M4", "dangling input", graphs.graph(node("Add", ["x", "nobody"], ["y"])), "bad_model"),
    Row("M4", "dimension 2^62", graphs.identity(shape=(2**62, 3)), "bad_model"),
    Row("M4", "negative dimension", graphs.identity(shape=(-5, 3)), "bad_model"),
    Row("M4", "raw data too short", broken_weights(raw_data=bytes(8)), "bad_model"),
    Row("M4", "bad datatype", broken_weights(data_type=77), "bad_model"),
    Row("M5", "size cap + 1", one_over_the_cap, "too_large"),
    Row("M5", "sparse file of 1 TB", sparse, "too_large"),
    Row("M7", "replaced by a FIFO", os.mkfifo, "bad_model"),
    Row("M7", "replaced by /dev/zero", lambda path: path.symlink_to("/dev/zero"), "bad_model"),
    Row("M9", "absolute", external(location="{outside}"), "external_data"),
    Row("M10", "parent", external(location="../../../secret.bin"), "external_data"),
    Row("M11", "symbolic link", external(location="link.bin"), "external_data"),
    Row("M12", "linked directory", external(location="linked/secret.bin"), "external_data"),
    Row("M13", "hard link", external(location="hard.bin"), "external_data"),
    Row("M14", "/dev/zero", external(location="/dev/zero"), "external_data"),
    Row("M15", "missing", external(location="missing.bin"), "external_data"),
    Row("M16", "negative offset", external(location="weights.bin", offset="-4"), "external_data"),
    Row("M17", "endless", external(location="weights.bin", length="99999999999"), "external_data"),
    Row("M18", "far away", external(location="weights.bin", offset=str(10**20)), "external_data"),
    Row("M20", "NaN", graphs.logarithm(), "warm_up"),
    Row("M20", "over the deadline", hurtful.endless_in_warm_up(), "warm_up", quick=True),
    Row("M20", "crash of the probe process", hurtful.crashing_in_warm_up(), "warm_up"),
    Row("M21", "over the memory budget", graphs.heavy(80), "no_memory"),
    Row("M22", "6 000 nodes", chain(6000)),
    Row("M22", "If nested 30 deep", nested(30)),
    Row("M22", "If nested 60 deep", nested(60), "bad_model"),
    Row("M23", "integer Div by a run-time value", divided_by_the_caller("Div"), note="divide"),
    Row("M23", "integer Mod by a run-time value", divided_by_the_caller("Mod"), note="divide"),
    Row("M24", "loading hangs", hurtful.slow_to_load(), "timeout", quick=True),
]

ELSEWHERE: Mapping[tuple[str, str], str] = {
    ("M6", "file changes between hashing and loading"):
        "tests/models/test_catalog_with_onnx.py::test_a_version_serves_the_bytes_that_were_hashed",
    ("M7", "grows while it is read"):
        "tests/models/test_loading.py::test_a_file_with_more_bytes_than_it_had_when_it_was_opened_is_refused",
    ("M8", "permission denied"): "tests/models/test_loading.py::test_a_file_that_may_not_be_read_is_unreadable",
    ("M8", "disk full"): "tests/models/test_loading.py::test_a_full_disk_leaves_no_half_copy",
    ("M8", "tried again with back-off"):
        "tests/models/test_catalog_failures.py::test_a_reason_that_may_pass_is_tried_again_ever_more_slowly",
    ("M19", "signature differs from the version before"):
        "tests/control/test_operations.py::test_versions_that_take_other_inputs_than_the_baseline_get_no_traffic",
    ("M19", "unless an adapter says so"):
        "tests/flows/test_adapters.py::test_old_callers_notice_nothing_of_a_new_version_behind_its_adapter",
    ("M19", "or an operator's override"):
        "tests/control/test_operations.py::test_a_breaking_version_takes_all_the_traffic_as_its_own_baseline",
}  # fmt: skip
"""Row and variant → the test that shows it: it takes a file that changes, a disk, or traffic, and not one file."""


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteVerifier]:
    """Give a verifier without patience."""
    with verifier_process(tmp_path_factory.mktemp("hurried"), build_seconds=0.4, prove_seconds=0.4) as verifier:
        yield verifier


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.id} {row.variant}")
async def test_a_file_of_the_list_becomes_what_the_list_says(
    row: Row, tmp_path: Path, patient: RemoteVerifier, hurried: RemoteVerifier
) -> None:
    directory = tmp_path / "models" / "fraud"
    for version in (1, 2):
        (directory / str(version)).mkdir(parents=True)
    (directory / "1" / "model.onnx").write_bytes(GOOD)
    verifier, bad = hurried if row.quick else patient, directory / "2" / "model.onnx"
    row.content(bad) if callable(row.content) else bad.write_bytes(row.content)
    catalog = Catalog(
        Repository(tmp_path / "models", clock=lambda: 1e12),
        OnnxEngine(),
        FakeMetrics(),
        tmp_path / "blobs",
        verifier=verifier,
        budget=Budget(64 * MEGABYTE),
    )

    await renew(catalog)

    found = status_of(catalog, "fraud", 2)
    assert found.state.value == ("FAILED" if row.code else "READY"), found.reason
    assert found.reason.partition(":")[0] == row.code
    assert row.note in found.note
    assert str(tmp_path) not in found.reason
    if not row.quick:
        assert status_of(catalog, "fraud", 1).state.value == "READY"
    await catalog.close()


def test_every_row_of_the_list_is_shown_here_or_elsewhere() -> None:
    shown = {row.id for row in ROWS} | {row for row, _ in ELSEWHERE}

    assert shown == {f"M{number}" for number in range(1, 25)}


@pytest.mark.parametrize("row", ELSEWHERE, ids=" ".join)
def test_what_is_shown_elsewhere_is_there(row: tuple[str, str]) -> None:
    path, _, name = ELSEWHERE[row].partition("::")

    assert f"def {name}(" in (Path(__file__).parents[2] / path).read_text(encoding="utf-8")
