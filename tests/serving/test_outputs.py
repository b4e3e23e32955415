"""What versions answer is counted by bin, in a sample, beside the requests."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.outputs import BINS, bin_of_text
from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from gateway.models.answers import Form, form_of
from gateway.serving.outputs import ANSWER, ROOM, ROWS, OutputSample, forms_of
from tests.serving.fakes import Dispatched, Floor, compiled, pairs, rollout_of
from tests.serving.test_watched import REVISION, arm_of, raising

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.engine import Tensor
    from gateway.serving.trials import Trial

LABEL = TensorSpec("label", "INT64", (-1,))
NAME = TensorSpec("name", "BYTES", (-1, 1))
SCORES = TensorSpec("probabilities", "FP32", (-1, 3))
NUMBER = TensorSpec("price", "FP32", (-1, 1))


def signature(*outputs: TensorSpec) -> Signature:
    return Signature((TensorSpec("x", "FP32", (-1, 2)),), outputs)


@pytest.mark.parametrize(
    ("outputs", "form"),
    [
        ((SCORES, LABEL), Form(1, "labels")),
        ((NAME, LABEL), Form(1, "labels")),
        ((SCORES, NAME), Form(1, "labels")),
        ((NUMBER, SCORES), Form(1, "scores")),
        ((NUMBER,), Form(0, "numbers")),
        ((TensorSpec("price", "FP64", (-1,)),), Form(0, "numbers")),
        ((TensorSpec("any", "FP32", (-1, -1)),), None),
        ((TensorSpec("image", "FP32", (-1, 3, 8, 8)),), None),
        ((TensorSpec("many", "FP32", (-1, 1001)),), None),
        ((TensorSpec("one", "FP32", ()),), None),
        ((), None),
    ],
)
def test_a_class_is_read_before_scores_and_scores_before_a_number(
    outputs: tuple[TensorSpec, ...], form: Form | None
) -> None:
    assert form_of(signature(*outputs)) == form


def test_classes_are_not_compared_with_numbers() -> None:
    assert forms_of(signature(LABEL), signature(NUMBER)) is None
    assert forms_of(signature(LABEL), signature()) is None
    assert forms_of(signature(LABEL), signature(SCORES)) == (Form(0, "labels"), Form(0, "scores"))


@pytest.mark.parametrize(
    ("kind", "tensor", "bins"),
    [
        ("labels", np.array([0, 1, 1, 19, 20, 119]), {"out_0": 2, "out_1": 2, "out_19": 2}),
        ("labels", np.array([True, False, True]), {"out_0": 1, "out_1": 2}),
        ("labels", np.array([[2**64 - 1]], np.uint64), {"out_19": 1}),
        ("labels", np.array([-1], np.int8), {"out_19": 1}),
        ("labels", np.array([b"a", "a", b"b"], object), {f"out_{bin_of_text('a')}": 2, f"out_{bin_of_text('b')}": 1}),
        ("scores", np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], np.float32), {"out_0": 1, "out_1": 2}),
        ("numbers", np.array([-5.0, 1.0, 1.5, 2.0, 9.0, np.nan]), {"out_0": 2, "out_1": 2, "out_2": 2}),
        ("numbers", np.array([], np.float32), {}),
    ],
)
def test_rows_fall_into_the_bin_of_their_class_or_decile(kind: str, tensor: Tensor, bins: dict[str, int]) -> None:
    sample = OutputSample(Form(0, kind), (1.0, 2.0))

    sample.take([tensor])

    assert sample.read() == bins
    assert sample.read() == {}


def test_answers_beyond_the_room_are_left_out_until_the_next_reading() -> None:
    sample = OutputSample(Form(0, "labels"), ())
    for _ in range(1000):
        sample.take([np.array([3])])
    first = sample.read()

    sample.take([np.array([3])])

    assert first == {"out_3": -(-ROOM // (ANSWER + 1))}
    assert sample.read() == {"out_3": 1}


def test_one_large_answer_counts_as_many_rows_as_it_may_and_takes_all_the_room() -> None:
    sample = OutputSample(Form(0, "labels"), ())

    for _ in range(2):
        sample.take([np.full(ROOM, 3)])

    assert sample.read() == {"out_3": ROWS}


def serve(floor: Floor, *outputs: TensorSpec, answers: Mapping[int, Any], deciles: tuple[float, ...] = ()) -> Trial:
    for version, answer in answers.items():
        run = raising if answer is None else lambda feeds, answer=answer: [np.array([answer] * len(feeds["x"]))]
        floor.held.hold("fraud", version, run, signature=signature(*outputs))
    made = replace(rollout_of(), deciles=deciles)
    floor.adoption.want(Mark("a", REVISION, "d"), compiled({"1": 50, "2": 50}, baseline="1"), made)
    return floor.adoption.trials.under_way["fraud"]


async def outputs_of(floor: Floor, trial: Trial) -> dict[str, int]:
    for version in (1, 2, 2):
        await Dispatched(arm_of(floor, version), pairs(1)).ending()
    trial.pass_time(time.monotonic())
    found = {f"{each.version} {each.kind}": many for each, many in trial.counts().items()}
    return {name: many for name, many in found.items() if "out" in name or "value" in name}


async def test_each_version_answers_into_its_own_bins(floor: Floor) -> None:
    assert await outputs_of(floor, serve(floor, LABEL, answers={1: 0, 2: 4})) == {"1 out_0": 1, "2 out_4": 2}


async def test_a_canary_that_fails_has_answered_nothing_nor_has_who_stood_in_for_it(floor: Floor) -> None:
    assert await outputs_of(floor, serve(floor, LABEL, answers={1: 0, 2: None})) == {"1 out_0": 1}


async def test_numbers_of_the_baseline_alone_are_counted_until_there_are_deciles(floor: Floor) -> None:
    found = await outputs_of(floor, serve(floor, NUMBER, answers={1: [3.0], 2: [3.0]}))

    assert [name.rsplit("_", 1)[0] for name in found] == ["1 value"]


async def test_with_deciles_numbers_of_both_are_counted_by_them(floor: Floor) -> None:
    trial = serve(floor, NUMBER, answers={1: [3.0], 2: [9.0]}, deciles=(1.0, 5.0))

    assert await outputs_of(floor, trial) == {"1 out_1": 1, "2 out_2": 2}
    assert BINS == 20


async def test_where_a_version_is_not_here_nothing_is_compared(floor: Floor) -> None:
    trial = serve(floor, LABEL, answers={1: 0})

    assert trial.outputs(1) is None


async def test_of_several_candidates_each_is_compared_that_is_here_and_can_be(floor: Floor) -> None:
    for version, spec in ((1, LABEL), (2, LABEL), (3, NUMBER)):
        floor.held.hold("fraud", version, signature=signature(spec))
    route = compiled({"1": 40, "2": 20, "3": 20, "4": 20}, baseline="1")
    floor.adoption.want(Mark("a", REVISION, "d"), route, rollout_of(2, 3, 4))
    trial = floor.adoption.trials.under_way["fraud"]

    assert [trial.outputs(version) is not None for version in (1, 2, 3, 4)] == [True, True, False, False]
