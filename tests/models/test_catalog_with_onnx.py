"""Real files, the real runtime and the whole life of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.core.compatibility import compare
from gateway.engine.onnx import OnnxEngine
from gateway.models.catalog import Catalog
from gateway.models.repository import Repository
from tests.engine import graphs, interfaces
from tests.models.fakes import FakeMetrics, House, ready_of, renew, state_of, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def catalog(house: House, tmp_path: Path) -> AsyncIterator[Catalog]:
    built = Catalog(Repository(house.root), OnnxEngine(), FakeMetrics(), tmp_path / "blobs")
    yield built
    await built.close()


def answer(catalog: Catalog, version: int) -> float:
    (output,) = ready_of(catalog, "fraud", version).session.run({"x": np.zeros((1, 3), np.float32)})
    return float(output[0, 0])


async def test_versions_stand_side_by_side_and_each_answers_for_itself(house: House, catalog: Catalog) -> None:
    for version in (1, 2, 3):
        house.put(f"fraud/{version}", graphs.plus(float(version)))

    await renew(catalog)

    assert [answer(catalog, version) for version in (1, 2, 3)] == [1.0, 2.0, 3.0]


async def test_a_version_serves_the_bytes_that_were_hashed(house: House, catalog: Catalog) -> None:  # M6
    house.put("fraud/1", graphs.plus(1.0))
    await renew(catalog)
    catalog.want({}, {"fraud": {1: "unload"}})
    await catalog.settle()

    house.put("fraud/1", graphs.plus(666.0))
    catalog.want({}, {"fraud": {1: "load"}})
    await renew(catalog)

    assert status_of(catalog, "fraud", 1).reason.startswith("digest: ")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "bad_model"),
        (graphs.plus(1.0)[:-1], "bad_model"),
        (graphs.graph(graphs.node("Nope", ["x"], ["y"])), "unsupported"),
        (graphs.with_external_data(location="/etc/passwd"), "external_data"),
        (graphs.logarithm(), "warm_up"),
    ],
)
async def test_a_bad_model_fails_with_its_code_and_changes_nothing_else(
    content: bytes, code: str, house: House, catalog: Catalog
) -> None:
    house.put("fraud/1", graphs.plus(1.0))
    house.put("fraud/2", content)

    await renew(catalog)

    assert state_of(catalog, "fraud", 2) == "FAILED"
    assert status_of(catalog, "fraud", 2).reason.startswith(f"{code}: ")
    assert answer(catalog, 1) == 1.0


async def test_a_model_with_a_fixed_batch_is_ready_and_says_that_it_is_not_batched(
    house: House, catalog: Catalog
) -> None:
    house.put("fraud/1", graphs.identity(shape=(4, 3)))

    await renew(catalog)

    assert status_of(catalog, "fraud", 1).note == "not batched: the batch axis of input 'x' is fixed at 4"
    assert status_of(catalog, "fraud", 1).signature == ready_of(catalog, "fraud", 1).signature


async def test_a_model_that_mixes_its_rows_is_ready_and_not_batched(house: House, catalog: Catalog) -> None:
    house.put("fraud/1", graphs.mean_over_the_batch())

    await renew(catalog)

    assert not ready_of(catalog, "fraud", 1).batchable


async def test_a_version_is_ready_behind_its_adapter_and_proven_there(house: House, catalog: Catalog) -> None:
    house.put("fraud/1", interfaces.old())
    house.put("fraud/2", interfaces.new(shuffled=True), metadata=interfaces.ADAPTER)
    feeds = {"age": np.array([[3], [4]], np.float32), "x": np.arange(6, dtype=np.float32).reshape(2, 3)}

    await renew(catalog)

    first, second = (ready_of(catalog, "fraud", version) for version in (1, 2))
    assert second.batchable
    assert compare(first.signature, second.signature) == ()
    np.testing.assert_array_equal(first.session.run(feeds), second.session.run(feeds), strict=True)


async def test_an_adapter_that_does_not_fit_is_the_versions_failure(house: House, catalog: Catalog) -> None:
    house.put("fraud/1", graphs.plus(1.0), metadata=interfaces.ADAPTER)

    await renew(catalog)

    assert status_of(catalog, "fraud", 1).reason.startswith(
        "bad_metadata: metadata.yaml: adapter.requests.rename.age: 'years' is not one of the version's: x"
    )
