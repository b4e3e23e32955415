"""A signature is checked when it is built."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.compatibility import Verdict, compare_inputs, worst
from gateway.core.signature import DATATYPES, FREE, Signature, TensorSpec

X = TensorSpec("x", "FP32", (FREE, 4))
Y = TensorSpec("y", "INT64", (FREE,))
OUT = TensorSpec("out", "FP32", (FREE,))

tensors = st.lists(
    st.builds(
        TensorSpec, st.sampled_from("xy"), st.sampled_from(["FP32", "FP64"]),
        st.lists(st.sampled_from([FREE, 1, 4]), max_size=2).map(tuple),
    ),
    unique_by=lambda spec: spec.name, max_size=2,
).map(tuple)  # fmt: skip


def test_an_unknown_datatype_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown datatype 'FLOAT'"):
        TensorSpec("x", "FLOAT", (1,))


def test_a_dimension_below_free_is_refused() -> None:
    with pytest.raises(ValueError, match="negative dimension"):
        TensorSpec("x", "FP32", (-2,))


def test_two_versions_take_the_same_inputs_in_whatever_order_they_name_them() -> None:
    one, other = Signature((X, Y), (OUT,)), Signature((Y, X), ())

    assert one.takes_all_of(other)
    assert other.takes_all_of(one)


@pytest.mark.parametrize(
    "changed",
    [TensorSpec("z", "FP32", (FREE, 4)), TensorSpec("x", "FP64", (FREE, 4)), TensorSpec("x", "FP32", (FREE, 5))],
)
def test_another_name_datatype_or_shape_is_another_input(changed: TensorSpec) -> None:
    assert not Signature((X,), (OUT,)).takes_all_of(Signature((changed,), (OUT,)))


def test_a_version_with_a_free_axis_takes_all_of_one_that_fixes_it_and_not_the_other_way_round() -> None:
    fixed, free = Signature((X,), (OUT,)), Signature((TensorSpec("x", "FP32", (FREE, FREE)),), (OUT,))

    assert free.takes_all_of(fixed)
    assert not fixed.takes_all_of(free)


def test_another_rank_or_one_input_less_is_not_taken() -> None:
    flat = Signature((TensorSpec("x", "FP32", (FREE,)),), ())

    assert not Signature((X,), ()).takes_all_of(flat)
    assert not Signature((X, Y), ()).takes_all_of(Signature((X,), ()))


@pytest.mark.parametrize(("shapes", "fits"), [([(3, 4), (9,)], True), ([(3, 5), (9,)], False), ([(4,), (9,)], False)])
def test_tensors_fit_where_each_axis_has_the_size_that_is_fixed(shapes: list[tuple[int, ...]], fits: bool) -> None:
    assert Signature((X, Y), ()).fits(shapes) is fits


@given(old=tensors, new=tensors)
def test_what_takes_all_requests_is_what_compatibility_calls_compatible(
    old: tuple[TensorSpec, ...], new: tuple[TensorSpec, ...]
) -> None:
    before, after = Signature(old, ()), Signature(new, ())

    assert after.takes_all_of(before) == (worst(compare_inputs(before, after)) is Verdict.COMPATIBLE)


def test_only_bytes_have_elements_of_no_fixed_size() -> None:
    assert [name for name, size in DATATYPES.items() if size == 0] == ["BYTES"]
