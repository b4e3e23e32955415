"""Golden requests: what the file may hold, what a replay says, and what a version that fails them never gets."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import InvalidModel, ModelFailed
from gateway.core.signature import Signature, TensorSpec
from gateway.models.entry import CHANGED, NEW_GOLDEN
from gateway.models.golden import MAX_BYTES, golden_of, parse_requests, written_requests
from gateway.models.publishing import amend
from gateway.models.replay import record, replay
from tests.models.fakes import renew, state_of, status_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.ports.engine import Tensor
    from tests.models.fakes import House

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("text", "BYTES", (-1,))),
    (TensorSpec("y", "FP32", (-1, 2)), TensorSpec("label", "INT64", (-1,)), TensorSpec("word", "BYTES", (-1,))),
)


class Adding:
    """y = x + *more*; label and word are what they are told."""

    warning = ""
    signature = SIGNATURE

    def __init__(self, more: float = 0.0, label: int = 1, word: str = "a") -> None:
        self._answer = (more, label, word)

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        more, label, word = self._answer
        if (feeds["x"] < 0).any():
            raise ModelFailed("adding", 1, "a root of a negative number")
        rows = len(feeds["x"])
        with np.errstate(all="ignore"):
            return [feeds["x"] + np.float32(more), np.full(rows, label), np.full(rows, word, dtype=object)]

    def stop(self) -> None: ...

    def pool_seconds(self) -> float:
        return 0.0


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def request(*rows: list[float | None], **members: Any) -> dict[str, Any]:
    inputs = [
        tensor("x", "FP32", [len(rows), 2], list(rows)),
        tensor("text", "BYTES", [len(rows)], ["ä"] * len(rows)),
    ]
    return {"inputs": inputs, **members}


def lines(*requests: Mapping[str, Any]) -> bytes:
    return b"\n".join(json.dumps(each).encode() for each in requests)


def recorded(*requests: Mapping[str, Any], session: Adding | None = None, tolerance: float = 1e-4) -> bytes:
    return written_requests(record(session or Adding(), parse_requests(lines(*requests)), tolerance=tolerance))


# The file


def test_what_was_recorded_is_replayed_without_a_difference() -> None:
    content = recorded(request([1, 2], id="one"), request([3, 4], [5, 6]))

    requests = parse_requests(content)

    assert replay(Adding(), requests) == ""
    assert [(str(each), each.tolerance) for each in requests] == [
        ("golden request 1 (one)", 1e-4), ("golden request 2", 1e-4),
    ]  # fmt: skip
    assert written_requests(requests) == content


def test_data_may_be_nested_or_flat_and_null_stands_for_no_finite_number() -> None:
    flat = {"inputs": [tensor("x", "FP32", [2, 2], [1, None, 3, 4]), tensor("text", "BYTES", [2], ["a", "b"])]}

    (read,) = parse_requests(lines(flat))
    (again,) = parse_requests(recorded(flat, request([1, 2]))[: recorded(flat).find(b"\n")])

    assert np.isnan(read.inputs["x"].values[0, 1])
    assert np.isnan(again.outputs["y"].values[0, 1])
    assert replay(Adding(), [again]) == ""


def test_infinity_is_recorded_as_no_finite_number_and_held_to_that() -> None:
    content = recorded(request([1, 2]), session=Adding(more=float("inf")))

    assert replay(Adding(more=float("inf")), parse_requests(content)) == ""
    assert "differs by" in replay(Adding(), parse_requests(content))


BAD: list[tuple[bytes, str]] = [
    (b"", "0 golden requests"),
    (b"\n".join([b"{}"] * 257), "257 golden requests"),
    (b"x" * (MAX_BYTES + 1), "bytes of golden requests"),
    (b"{", "line 1 is no JSON"),
    (b"[]", "line 1 is no request"),
    (b"{}", "line 1 has no inputs"),
    (b'{"inputs": 7}', "inputs that are no list"),
    (b'{"inputs": [{"datatype": "FP32"}]}', "inputs that are no list"),
    (lines(request([1, 2]), request([1, 2], tolerance=-1)), "line 2 has a tolerance"),
    (lines(request([1, 2], tolerance=True)), "line 1 has a tolerance"),
    *[
        (lines({"inputs": [tensor("x", *given)]}), said)  # type: ignore[arg-type]  # that is the point
        for given, said in [
            (("FP128", [1], [1]), "datatype"), (([], [1], [1]), "datatype"), (("FP32", [-1], [1]), "list of sizes"),
            (("FP32", 1, [1]), "list of sizes"), (("FP32", [2], [1]), "does not fill"),
            (("FP32", [1], None), "in a list"),
            (("FP32", [1], ["1"]), "does not fill"), (("FP32", [1], [True]), "does not fill"),
            (("INT64", [1], [1.5]), "does not fill"), (("INT8", [1], [300]), "does not fill"),
            (("BOOL", [1], [1]), "does not fill"), (("BYTES", [1], [1]), "does not fill"),
            (("FP32", [1], [1e300]), "does not fill"), (("FP32", [2, 2], [[1, 2], [3]]), "does not fill"),
        ]
    ],
]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), BAD, ids=range(len(BAD)))
def test_what_is_no_golden_request_is_refused_by_its_line(content: bytes, said: str) -> None:
    with pytest.raises(InvalidModel, match=said) as caught:
        parse_requests(content)

    assert caught.value.code == "golden"


def test_a_request_whose_answer_was_not_recorded_is_none_to_replay(tmp_path: Path) -> None:
    (tmp_path / "golden.jsonl").write_bytes(lines(request([1, 2], outputs=[{"name": "y"}])))

    with pytest.raises(InvalidModel, match="has no outputs; record them"):
        golden_of(tmp_path)


def test_a_version_without_the_file_has_no_golden_requests(tmp_path: Path) -> None:
    assert golden_of(tmp_path) == ()


@pytest.mark.parametrize("content", [None, recorded(request([1, 3]))], ids=["no file", "another file"])
def test_a_file_that_is_not_the_declared_one_is_refused(tmp_path: Path, content: bytes | None) -> None:
    digest = hashlib.sha256(recorded(request([1, 2]))).hexdigest()
    (tmp_path / "metadata.yaml").write_text(f"golden_sha256: {digest}\n")
    if content is not None:
        (tmp_path / "golden.jsonl").write_bytes(content)

    with pytest.raises(InvalidModel) as caught:
        golden_of(tmp_path)

    assert caught.value.code == "digest"


@pytest.mark.parametrize("target", ["real", "nowhere"])
def test_a_link_is_no_golden_file(tmp_path: Path, target: str) -> None:
    (tmp_path / "real").write_bytes(recorded(request([1, 2])))
    (tmp_path / "golden.jsonl").symlink_to(target)

    with pytest.raises(InvalidModel, match="symbolic link"):
        golden_of(tmp_path)


# The replay


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (Adding(more=0.5), "output 'y' differs by 0.5 at [0, 0], 0.0001 is allowed: 1 was recorded, 1.5 came"),
        (Adding(more=float("nan")), "output 'y' differs by inf at [0, 0], 0.0001 is allowed: 1 was recorded, nan came"),
        (Adding(label=0), "output 'label' differs at [0]: '1' was recorded, '0' came"),
        (Adding(word="b"), "output 'word' differs at [0]: 'a' was recorded, 'b' came"),
    ],
)
def test_a_difference_says_which_request_which_output_and_by_how_much(now: Adding, said: str) -> None:
    requests = parse_requests(recorded(request([1, 2], id="a"), request([3, 4])))

    assert replay(now, requests) == f"golden request 1 (a): {said}; so do 1 more of 2"
    assert replay(now, requests[:1]) == f"golden request 1 (a): {said}"


def test_a_difference_within_the_tolerance_is_none() -> None:
    assert replay(Adding(more=0.00005), parse_requests(recorded(request([1, 2])))) == ""


def test_numbers_may_differ_relative_above_1() -> None:
    large = parse_requests(recorded(request([100_000, 200_000])))

    assert replay(Adding(more=5), large) == ""
    assert replay(Adding(more=50), large) != ""


def test_a_plan_may_allow_more_than_the_requests_do() -> None:
    requests = parse_requests(recorded(request([1, 2])))

    assert replay(Adding(more=0.5), requests, tolerance=0.6) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "z"}, "input 'x' is FP32 [-1, 2], and it has no such input"),
        ({"datatype": "FP64"}, "input 'x' is FP32 [-1, 2], and it has FP64 [1, 2]"),
        ({"shape": [2, 1]}, "input 'x' is FP32 [-1, 2], and it has FP32 [2, 1]"),
    ],
)
def test_a_request_that_the_version_does_not_take_is_a_difference(change: dict[str, Any], said: str) -> None:
    (good,) = (json.loads(line) for line in recorded(request([1, 2])).splitlines())
    good["inputs"][0] |= change

    assert replay(Adding(), parse_requests(lines(good))) == f"golden request 1 cannot be asked: {said}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "z"}, "there is no output 'z' any more"),
        ({"shape": [2, 1]}, "output 'y' is FP32 [1, 2], and FP32 [2, 1] was recorded"),
        ({"datatype": "FP64"}, "output 'y' is FP32 [1, 2], and FP64 [1, 2] was recorded"),
    ],
)
def test_an_output_of_another_name_shape_or_datatype_is_a_difference(change: dict[str, Any], said: str) -> None:
    (good,) = (json.loads(line) for line in recorded(request([1, 2])).splitlines())
    good["outputs"][0] |= change

    assert replay(Adding(), parse_requests(lines(good))) == f"golden request 1: {said}"


def test_a_request_on_which_the_version_fails_is_a_difference_and_cannot_be_recorded() -> None:
    (good,) = (json.loads(line) for line in recorded(request([1, 2])).splitlines())
    good["inputs"][0]["data"] = [-1, 2]

    assert replay(Adding(), parse_requests(lines(good))) == "golden request 1 fails: a root of a negative number"
    with pytest.raises(InvalidModel, match="golden request 1 fails: a root of a negative number; leave it out"):
        recorded(request([-1, 2]))


# A version's life


def golden(*, answer: float) -> bytes:
    """Return one golden request of the fake engine's models, which answer what they are asked."""
    tensors = [tensor(name, "FP32", [1, 3], [1, 2, last]) for name, last in (("x", 3), ("y", answer))]
    return lines({"inputs": tensors[:1], "outputs": tensors[1:]})


def put(house: House, content: bytes, *, at: float = 0.0) -> None:
    path = house.put("fraud/1").with_name("golden.jsonl")
    path.write_bytes(content)
    os.utime(path, (at, at))


async def test_a_version_that_answers_its_golden_requests_is_ready(house: House) -> None:
    put(house, golden(answer=3))

    assert state_of(await house.refreshed(), "fraud", 1) == "READY"


async def test_a_version_that_does_not_is_failed_and_says_by_how_much(house: House) -> None:
    put(house, golden(answer=4))

    status = status_of(await house.refreshed(), "fraud", 1)

    assert status.state.value == "FAILED"
    assert status.reason.startswith("golden: golden request 1: output 'y' differs by 0.25 at [0, 2]")


async def test_a_failed_version_is_tried_again_when_its_golden_requests_are_put_right(house: House) -> None:
    put(house, golden(answer=4))
    catalog = await house.refreshed()

    put(house, golden(answer=3), at=1)
    await renew(catalog)

    assert state_of(catalog, "fraud", 1) == "READY"


async def test_golden_requests_that_still_change_are_waited_for(house: House) -> None:
    put(house, golden(answer=3), at=2e9)

    assert state_of(await house.refreshed(), "fraud", 1) == "LOADING"


async def test_golden_requests_that_are_recorded_for_a_ready_version_are_noted(house: House) -> None:
    house.put("fraud/1", metadata="notes: x")
    (house.root / "fraud" / ".lock").touch()
    catalog = await house.refreshed()

    amend(house.root, "fraud", 1, {"golden.jsonl": golden(answer=3), "metadata.yaml": b"notes: y"})
    await renew(catalog)
    noted = status_of(catalog, "fraud", 1).note
    house.put("fraud/1", b"good, and other bytes")
    await renew(catalog)

    assert noted == NEW_GOLDEN
    assert status_of(catalog, "fraud", 1).note == CHANGED
