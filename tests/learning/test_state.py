"""What a learner writes down comes back as it was; what is no such file is refused, and nothing in it is run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from gateway.learning import state
from gateway.learning.errors import StateUnreadable
from gateway.learning.folder import KEPT, STATE, Folder
from tests.learning.world import World

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(100)
    learner = await world.learn()

    found = world.folder.load()

    assert found is not None
    assert found.head == learner.state.head
    assert np.array_equal(found.window.inputs, learner.state.window.inputs)
    assert found.held.said.tolist() == learner.state.held.said.tolist()
    rows = [[0.1, 0.2], [-0.3, 0.4]]
    assert found.pipeline.predict_proba(rows).tolist() == learner.state.pipeline.predict_proba(rows).tolist()


class Bomb:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._path),)


async def _replaced(world: World, member: str, content: bytes) -> bytes:
    """Return the bytes of a state in which *member* holds *content*."""
    world.label(10)
    with zipfile.ZipFile(io.BytesIO(state.encoded((await world.learn()).state))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | {member: content}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, each in members.items():
            archive.writestr(name, each)
    return file.getvalue()


@pytest.mark.parametrize("member", [state.HEAD, state.PIPELINE, state.ROWS])
async def test_a_pickle_in_the_place_of_any_part_is_never_run(tmp_path: Path, member: str) -> None:
    bomb = tmp_path / "ran"
    world = World(tmp_path)
    (world.folder.root / STATE).write_bytes(await _replaced(world, member, pickle.dumps(Bomb(bomb))))

    with pytest.raises(StateUnreadable, match=r"state\.zip"):
        world.folder.load()

    assert not bomb.exists()


async def test_a_pipeline_that_calls_functions_is_refused(tmp_path: Path) -> None:
    evil = make_pipeline(FunctionTransformer(os.system), LinearRegression())

    with pytest.raises(StateUnreadable, match=r"asks for types that are not read: .*system"):
        state.decoded(await _replaced(World(tmp_path), state.PIPELINE, skops.io.dumps(evil)), "it")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 torn"])
def test_what_is_no_state_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    folder = Folder(tmp_path)
    (tmp_path / STATE).write_bytes(content)

    with pytest.raises(StateUnreadable, match="move the file away"):
        folder.load()


def test_only_the_last_pipelines_are_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    pipeline = make_pipeline(LinearRegression())
    for version in range(1, KEPT + 3):
        folder.keep(version, pipeline)

    assert folder.kept(2) is None
    assert folder.kept(3) is not None
    assert folder.kept(KEPT + 2) is not None


def test_nobody_else_can_read_what_callers_sent(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "learning")
    folder.order("paused")
    folder.keep(1, make_pipeline(LinearRegression()))

    assert (tmp_path / "learning").stat().st_mode & 0o077 == 0
    assert all(each.stat().st_mode & 0o077 == 0 for each in (tmp_path / "learning").iterdir())
