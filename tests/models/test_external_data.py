"""No file but the model's own is ever read: M9 to M18, with real files, through the whole loading."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import onnxruntime
import pytest

from gateway.core.errors import InvalidModel
from gateway.engine.onnx import OnnxEngine
from gateway.models.loader import Loader
from gateway.models.repository import Repository
from tests.engine import graphs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECRET = struct.pack("<3f", 41.0, 42.0, 43.0)


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """Return the directory of a version, with a file of secrets outside the repository."""
    directory = tmp_path / "models" / "fraud" / "1"
    directory.mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(SECRET)
    return directory


def load(directory: Path, tmp_path: Path, **entries: str) -> object:
    (directory / "model.onnx").write_bytes(graphs.with_external_data(**entries))
    files = Repository(tmp_path / "models").scan().versions["fraud"][1]
    return Loader(OnnxEngine(), tmp_path / "blobs").load(files)


CASES: Mapping[str, Mapping[str, str]] = {
    "M9 absolute": {"location": "{tmp}/secret.bin"},
    "M10 parent": {"location": "../../../secret.bin"},
    "M11 symbolic link": {"location": "link.bin"},
    "M12 linked directory": {"location": "linked/secret.bin"},
    "M13 hard link": {"location": "hard.bin"},
    "M14 device": {"location": "/dev/zero"},
    "M15 missing": {"location": "missing.bin"},
    "M16 negative offset": {"location": "weights.bin", "offset": "-4"},
    "M17 endless": {"location": "weights.bin", "length": "99999999999"},
    "M18 far away": {"location": "weights.bin", "offset": "100000000000000000000"},
    "legal": {"location": "weights.bin", "offset": "0", "length": "12"},
}


@pytest.mark.parametrize("entries", CASES.values(), ids=CASES.keys())
def test_weights_outside_the_file_are_refused(entries: Mapping[str, str], version: Path, tmp_path: Path) -> None:
    (version / "link.bin").symlink_to(tmp_path / "secret.bin")
    (version / "linked").symlink_to(tmp_path)
    (version / "hard.bin").hardlink_to(tmp_path / "secret.bin")
    (version / "weights.bin").write_bytes(SECRET)

    refused = load(version, tmp_path, **{key: text.format(tmp=tmp_path) for key, text in entries.items()})

    assert isinstance(refused, InvalidModel)
    assert refused.code == "external_data"
    assert "save_as_external_data=False" in refused.reason


def test_control_the_runtime_alone_reads_a_hard_link_to_a_foreign_file(version: Path, tmp_path: Path) -> None:
    (version / "hard.bin").hardlink_to(tmp_path / "secret.bin")
    (version / "model.onnx").write_bytes(graphs.with_external_data(location="hard.bin"))

    session = onnxruntime.InferenceSession(version / "model.onnx", providers=["CPUExecutionProvider"])

    assert session.get_inputs()[0].name == "x"
