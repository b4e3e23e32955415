"""Which adapter follows from two signatures, and what rules leave to a person."""

from __future__ import annotations

import pytest

from gateway.core.adapter import Adapter, Columns, Steps
from gateway.core.adapter_proposal import propose
from gateway.core.signature import FREE, Signature, TensorSpec

A = TensorSpec("a", "FP32", (FREE, 1))
B = TensorSpec("b", "FP32", (FREE, 1))
C = TensorSpec("c", "FP32", (FREE, 1))
D = TensorSpec("d", "FP32", (FREE, 1))
Y = TensorSpec("y", "FP32", (FREE, 2))
P = TensorSpec("probabilities", "FP32", (FREE, 3))


def inputs(*specs: TensorSpec) -> Signature:
    return Signature(specs, (Y,))


def outputs(*specs: TensorSpec) -> Signature:
    return Signature((A,), specs)


def spec(name: str, datatype: str, *tail: int) -> TensorSpec:
    return TensorSpec(name, datatype, (FREE, *tail))


@pytest.mark.parametrize(
    ("old", "new", "adapter"),
    [
        (inputs(A), inputs(A), Adapter()),
        (inputs(A), inputs(B), Adapter(Steps(rename={"a": "b"}))),
        (inputs(A, Y), inputs(Y, C), Adapter(Steps(rename={"a": "c"}))),
        (inputs(A), inputs(spec("a", "FP64", 1)), Adapter(Steps(cast={"a": "FP32"}))),
        (inputs(spec("a", "FP64", 1)), inputs(A), Adapter(Steps(cast={"a": "FP64"}))),
        (inputs(A), inputs(spec("b", "FP64", 1)), Adapter(Steps(rename={"a": "b"}, cast={"a": "FP32"}))),
        (inputs(spec("a", "FP32")), inputs(A), Adapter(Steps(reshape={"a": (FREE,)}))),
        (inputs(spec("b", "FP32", 2, 3)), inputs(spec("a", "FP32", 6)),
         Adapter(Steps(rename={"b": "a"}, reshape={"b": (FREE, 2, 3)}))),
        (inputs(A, B), inputs(A), Adapter(ignored=(B,))),
        (outputs(spec("y", "INT32")), outputs(spec("y", "UINT8")), Adapter(responses=Steps(cast={"y": "INT32"}))),
        (outputs(Y), outputs(spec("z", "FP32", 2)), Adapter(responses=Steps(rename={"y": "z"}))),
    ],
)  # fmt: skip
def test_what_loses_nothing_is_proposed(old: Signature, new: Signature, adapter: Adapter) -> None:
    found = propose(old, new)

    assert (found.adapter, found.left, found.by_position) == (adapter, (), ())


@pytest.mark.parametrize(
    ("old", "new", "picked"),
    [("abc", "cab", (1, 2, 0)), ("ab", "cab", (1, 2)), ("abc", "abc", None), ("abd", "abc", None), ("", "abc", None)],
)
def test_columns_of_probabilities_follow_their_classes(old: str, new: str, picked: tuple[int, ...] | None) -> None:
    was = spec("probabilities", "FP32", len(old) or 3)

    found = propose(outputs(was), outputs(P), tuple(old), tuple(new))

    wanted = {} if picked is None else {"probabilities": Columns(picked, 3)}
    assert found.adapter.responses.columns == wanted
    assert bool(found.left) is (old == "abd")


def test_probabilities_of_another_width_than_their_classes_are_let_be() -> None:
    assert propose(outputs(P), outputs(P), ("a", "b"), ("b", "a")).adapter == Adapter()


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (inputs(A), inputs(A, spec("b", "INT64")), "input added"),
        (outputs(Y, spec("z", "BYTES")), outputs(Y), "output removed"),
        (inputs(A), inputs(spec("a", "INT64", 1)), "input type narrowed or changed"),
        (inputs(A), inputs(spec("a", "FP32", 2)), "input shape"),
        (inputs(spec("a", "FP32", FREE, 2)), inputs(spec("a", "FP32", 2)), "input rank"),
        (inputs(A), inputs(spec("b", "BYTES", 1)), "input added"),
    ],
)
def test_what_no_rule_knows_is_left_and_named(old: Signature, new: Signature, rule: str) -> None:
    assert rule in {each.rule for each in propose(old, new).left}


def test_tensors_that_only_their_place_tells_apart_are_paired_on_demand_and_said_so() -> None:
    without = propose(inputs(A, B), inputs(C, D))
    told = propose(inputs(A, B), inputs(C, D), by_position=True)

    assert (bool(without.left), without.by_position) == (True, ())
    assert told.adapter.requests.rename == {"a": "c", "b": "d"}
    assert (told.left, told.by_position) == ((), (("a", "c"), ("b", "d")))
