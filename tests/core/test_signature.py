"""A signature is checked when it is built."""

from __future__ import annotations

import pytest

from gateway.core.signature import DATATYPES, FREE, Signature, TensorSpec

X = TensorSpec("x", "FP32", (FREE, 4))
Y = TensorSpec("y", "INT64", (FREE,))
OUT = TensorSpec("out", "FP32", (FREE,))


def test_an_unknown_datatype_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown datatype 'FLOAT'"):
        TensorSpec("x", "FLOAT", (1,))


def test_a_dimension_below_free_is_refused() -> None:
    with pytest.raises(ValueError, match="negative dimension"):
        TensorSpec("x", "FP32", (-2,))


def test_two_versions_take_the_same_inputs_in_whatever_order_they_name_them() -> None:
    one, other = Signature((X, Y), (OUT,)), Signature((Y, X), ())

    assert one.takes_the_same_inputs(other)
    assert other.takes_the_same_inputs(one)


@pytest.mark.parametrize(
    "changed",
    [TensorSpec("z", "FP32", (FREE, 4)), TensorSpec("x", "FP64", (FREE, 4)), TensorSpec("x", "FP32", (FREE, 5))],
)
def test_another_name_datatype_or_shape_is_another_input(changed: TensorSpec) -> None:
    assert not Signature((X,), (OUT,)).takes_the_same_inputs(Signature((changed,), (OUT,)))


def test_only_bytes_have_elements_of_no_fixed_size() -> None:
    assert [name for name, size in DATATYPES.items() if size == 0] == ["BYTES"]
