"""What an adapter makes of a signature, and what is said of one that does not fit."""

from __future__ import annotations

import pytest

from gateway.core.adaptation import adapt, presented_classes
from gateway.core.adapter import Adapter, Columns, Constant, InvalidAdapter, Steps
from gateway.core.signature import FREE, Signature, TensorSpec

X = TensorSpec("x", "FP32", (FREE, 3), ("n", ""))
C = TensorSpec("c", "INT64", (FREE,))
T = TensorSpec("t", "BYTES", (FREE, 1))
Y = TensorSpec("y", "FP32", (FREE, 4))
L = TensorSpec("label", "INT64", (FREE,))
OWN = Signature((X, C, T), (Y, L))
WILD = Signature((TensorSpec("x", "FP32", (FREE, FREE)),), (TensorSpec("y", "FP32", (FREE, FREE)),))


def requests(**steps: object) -> Adapter:
    return Adapter(requests=Steps(**steps))  # type: ignore[arg-type]  # a test's shorthand


def responses(**steps: object) -> Adapter:
    return Adapter(responses=Steps(**steps))  # type: ignore[arg-type]  # a test's shorthand


def tensors(signature: Signature) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {spec.name: (spec.datatype, spec.shape) for spec in (*signature.inputs, *signature.outputs)}


@pytest.mark.parametrize(
    ("adapter", "changed"),
    [
        (requests(rename={"old": "x"}), {"old": ("FP32", (FREE, 3))}),
        (requests(rename={"c": "t", "t": "c"}), {"c": ("BYTES", (FREE, 1)), "t": ("INT64", (FREE,))}),
        (requests(cast={"x": "FP64"}), {"x": ("FP64", (FREE, 3))}),
        (requests(columns={"x": Columns((4, 0, 1), 5)}), {"x": ("FP32", (FREE, 5))}),
        (requests(reshape={"c": (FREE, 1)}), {"c": ("INT64", (FREE, 1))}),
        (requests(columns={"x": Columns((3, 0, 1), 4)}, reshape={"x": (FREE, 2, 2)}), {"x": ("FP32", (FREE, 2, 2))}),
        (requests(map={"c": {"a": 0, "b": 1}}), {"c": ("BYTES", (FREE,))}),
        (requests(map={"t": {"1": "one"}}, cast={"t": "UINT8"}), {"t": ("UINT8", (FREE, 1))}),
        (requests(default={"x": 0.5, "t": "?"}), {}),
        (responses(rename={"score": "y"}, cast={"score": "FP16"}), {"score": ("FP16", (FREE, 4))}),
        (responses(columns={"y": Columns((1, 3), 4)}), {"y": ("FP32", (FREE, 2))}),
        (responses(columns={"y": Columns((3,), 4)}, reshape={"y": (FREE,)}), {"y": ("FP32", (FREE,))}),
        (responses(map={"label": {"0": "no", "1": "yes"}}), {"label": ("BYTES", (FREE,))}),
        (responses(map={"label": {"0": 1, "1": 0}}), {"label": ("INT64", (FREE,))}),
        (responses(map={"label": {"0": 0.5, "1": 1}}), {"label": ("FP64", (FREE,))}),
        (responses(default={"y": 0}), {}),
        (Adapter(added=(Constant(TensorSpec("z", "BYTES", (FREE, 2)), ("a", "b")),)), {"z": ("BYTES", (FREE, 2))}),
        (Adapter(ignored=(TensorSpec("z", "FP32", (FREE,)),)), {"z": ("FP32", (FREE,))}),
    ],
)
def test_callers_see_what_the_declaration_says_and_the_rest_as_it_is(
    adapter: Adapter, changed: dict[str, tuple[str, tuple[int, ...]]]
) -> None:
    found = tensors(adapt(adapter, OWN).presented)

    renamed = {*adapter.requests.rename.values(), *adapter.responses.rename.values()}
    assert found == {**{name: kind for name, kind in tensors(OWN).items() if name not in renamed}, **changed}


def test_a_shape_that_stays_keeps_the_names_of_its_axes() -> None:
    assert adapt(requests(rename={"old": "x"}), OWN).presented.inputs[0].axes == ("n", "")


def test_what_is_filled_or_hidden_callers_do_not_see() -> None:
    found = adapt(Adapter(filled={"c": (0,), "x": (1.0, 2, 3)}, hidden=("y",)), OWN).presented

    assert (found.inputs, found.outputs) == ((T,), (L,))


@pytest.mark.parametrize(
    "adapter", [requests(columns={"x": Columns((0,), 2)}), responses(columns={"y": Columns((0,), 2)})]
)
def test_columns_may_be_taken_where_the_version_leaves_their_number_open(adapter: Adapter) -> None:
    found = tensors(adapt(adapter, WILD).presented)

    assert found["x"][1][-1] in {2, FREE}
    assert found["y"][1][-1] in {1, FREE}


@pytest.mark.parametrize(
    ("adapter", "place", "said"),
    [
        (requests(rename={"old": "w"}), "requests.rename.old", "not one of the version's: c, t, x"),
        (requests(rename={"a": "x", "b": "x"}), "requests.rename.b", "renamed twice"),
        (requests(rename={"c": "x"}), "requests", "two tensors called 'c'"),
        (requests(cast={"old": "FP32"}), "requests.cast.old", "they know c, t, x"),
        (requests(cast={"t": "FP32"}), "requests.cast.t", "need a map"),
        (requests(cast={"x": "BYTES"}), "requests.cast.x", "need a map"),
        (requests(columns={"x": Columns((0, 1), 2)}), "requests.reorder or select.x", "leaves 2 columns"),
        (requests(columns={"c": Columns((0,), 1)}), "requests.reorder or select.c", "has no columns"),
        (responses(columns={"y": Columns((0, 1), 2)}), "responses.reorder or select.y", "there are 4"),
        (responses(columns={"label": Columns((0,), 1)}), "responses.reorder or select.label", "has no columns"),
        (requests(reshape={"x": (FREE, 4)}), "requests.reshape.x", "has 4 elements in a row"),
        (requests(reshape={"x": (3, FREE)}), "requests.reshape.x", "first axis must stay"),
        (requests(default={"c": 0}), "requests.default.c", "no missing values"),
        (requests(default={"t": 0}), "requests.default.t", "is no BYTES"),
        (requests(default={"x": True}), "requests.default.x", "is no FP32"),
        (requests(map={"c": {"a": "b"}}), "requests.map.c", "'b' is no INT64"),
        (requests(map={"c": {"a": 2**63}}), "requests.map.c", "is no INT64"),
        (requests(map={"c": {"a": 0}}, cast={"c": "INT64"}), "requests.map.c", "keys must be integers"),
        (requests(map={"c": {"300": 0}}, cast={"c": "UINT8"}), "requests.map.c", "300 is no UINT8"),
        (responses(map={"y": {"0": 1}}), "responses.map.y", "FP32 cannot be mapped"),
        (Adapter(filled={"w": (0,)}), "requests.constant.w", "no such tensor"),
        (Adapter(filled={"x": (0, 1)}), "requests.constant.x", "write one, or the 3 of a row"),
        (Adapter(filled={"x": (0,), "c": (0,), "t": ("",)}), "requests", "at least one input"),
        (Adapter(hidden=("y", "label")), "responses.drop", "at least one output"),
        (Adapter(hidden=("z",)), "responses.drop.z", "it has label, y"),
        (Adapter(added=(Constant(Y, (0,)),)), "responses", "two tensors called 'y'"),
        (Adapter(ignored=(X,)), "requests", "two tensors called 'x'"),
    ],
)
def test_what_does_not_fit_the_version_is_refused_with_its_place(adapter: Adapter, place: str, said: str) -> None:
    with pytest.raises(InvalidAdapter) as caught:
        adapt(adapter, OWN)

    assert caught.value.place == place
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"adapter.{place}: ")


def test_a_constant_needs_a_shape_of_its_own() -> None:
    with pytest.raises(InvalidAdapter, match="only the first axis may be free"):
        adapt(Adapter(filled={"x": (0,)}, ignored=(Y,)), WILD)


@pytest.mark.parametrize("picked", [(), (3,), (-1,)])
def test_columns_are_some_of_those_that_are_there(picked: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="from 0 to 2"):
        Columns(picked, 3)


@pytest.mark.parametrize(
    ("adapter", "classes"),
    [
        (Adapter(), ("a", "b", "c")),
        (responses(columns={"probabilities": Columns((2, 0), 3)}), ("c", "a")),
        (responses(rename={"p": "probabilities"}, columns={"p": Columns((2, 1, 0), 3)}), ("c", "b", "a")),
        (responses(map={"label": {"a": 0, "b": 1, "c": 2}}), ("0", "1", "2")),
        (responses(columns={"label": Columns((0,), 1)}), ("a", "b", "c")),
    ],
)
def test_classes_follow_their_columns_and_their_names(adapter: Adapter, classes: tuple[str, ...]) -> None:
    assert presented_classes(adapter, ("a", "b", "c")) == classes
    assert presented_classes(adapter, ()) == ()


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (responses(map={"label": {"a": 0}}), "responses.map.label: does not say what becomes of the class 'b'"),
        (responses(columns={"probabilities": Columns((0,), 2)}), "is of 2 columns, and there are 3 classes"),
    ],
)
def test_classes_that_an_adapter_forgets_are_named(adapter: Adapter, said: str) -> None:
    with pytest.raises(InvalidAdapter, match=said):
        presented_classes(adapter, ("a", "b", "c"))
