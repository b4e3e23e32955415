"""A catalog of many models looks at the one that changed: counted, since a time would depend on the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.versions import VersionState
from gateway.engine.onnx import OnnxEngine
from gateway.models.catalog import Catalog
from gateway.models.loader import Loader, Prepared
from gateway.models.repository import Repository
from tests.engine import graphs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.models.fakes import House

MODELS = 30
READY = VersionState.READY


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the models of whose versions the catalog took a step, as it takes them."""
    seen: list[str] = []
    step = Catalog._step

    def counted(self: Catalog, entry: Any) -> None:
        seen.append(entry.model)
        step(self, entry)

    monkeypatch.setattr(Catalog, "_step", counted)
    return seen


async def test_a_route_that_moves_costs_a_look_at_its_own_model(house: House, steps: list[str]) -> None:
    for number in range(MODELS):
        house.put(f"m{number}/1")
    catalog = house.open()
    routed = {f"m{number}": {1} for number in range(MODELS)}
    catalog.want(routed, {})
    await catalog.refresh()
    await catalog.settle()
    steps.clear()

    catalog.want({**routed, "m7": set()}, {})
    catalog.want({**routed, "m7": set()}, {"m3": {1: "load"}})
    catalog.want({**routed, "m7": set()}, {"m3": {1: "load"}})

    assert steps == ["m7", "m3"]


async def test_each_load_costs_a_look_at_its_own_model(house: House, steps: list[str]) -> None:
    for number in range(MODELS):
        house.put(f"m{number}/1")
    catalog = house.open()

    await catalog.refresh()
    await catalog.settle()

    assert [status.state for status in catalog.statuses()] == [READY] * MODELS
    assert len(steps) == 2 * MODELS  # one when they are found, one each when it is loaded
    assert [status.version for status in catalog.statuses("m3")] == [1]
    assert catalog.statuses("unknown") == []


@pytest.mark.parametrize(("most", "expected"), [(None, 4), (8, 4), (2, 2)])
def test_no_version_gets_more_threads_than_a_worker_has_processors(
    most: int | None, expected: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "models" / "fraud" / "1"
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes(graphs.plus(1))
    (place / "metadata.yaml").write_text("serving: {threads: 4}")
    files = Repository(tmp_path / "models").scan().versions["fraud"][1]

    loaded = Loader(OnnxEngine(), tmp_path / "blobs", most_threads=most).load(files)

    assert isinstance(loaded, Prepared)
    options = loaded.session._native.get_session_options()  # type: ignore[attr-defined] # the runtime's own
    assert options.intra_op_num_threads == expected
    assert ("asks for 4 threads and gets 2" in caplog.text) == (expected == 2)
