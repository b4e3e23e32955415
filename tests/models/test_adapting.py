"""A session behind its adapter: what the version is asked, what callers are answered, and what neither can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.adapter import InvalidAdapter
from gateway.core.errors import InputRefused, InvalidModel, ModelFailed
from gateway.core.signature import FREE, Signature, TensorSpec
from gateway.models.adapter_document import read_adapter, written_adapter
from gateway.models.adapting import adapted
from gateway.models.metadata import Metadata, Serving, WarmUpInput, parse_metadata
from gateway.models.warmup import NUMPY, warm_up
from gateway.strict_yaml import read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.ports.engine import Session, Tensor


class Recorded:
    """A version's own session: remembers what it was asked, and answers by a function."""

    def __init__(self, signature: Signature, answer: Callable[[Mapping[str, Tensor]], list[Tensor]]) -> None:
        self.signature = signature
        self.warning = "a warning"
        self.asked: dict[str, Tensor] = {}
        self.stops = 0
        self._answer = answer

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        self.asked = dict(feeds)
        return self._answer(feeds)

    def stop(self) -> None:
        self.stops += 1

    def pool_seconds(self) -> float:
        return 1.5


def spec(name: str, datatype: str, *tail: int) -> TensorSpec:
    return TensorSpec(name, datatype, (FREE, *tail))


def echo(*specs: TensorSpec) -> Recorded:
    """Answer each input as the output of its name."""
    return Recorded(Signature(specs, specs), lambda feeds: [feeds[each.name] for each in specs])


def behind(own: Session, declared: str) -> Session:
    metadata = Metadata(adapter=read_document(declared.encode()))
    return adapted(own, metadata, model="m", version=2)[0]


def of(datatype: str, values: Any) -> Tensor:
    found: Tensor = np.array(values, dtype=NUMPY[datatype])
    return found


@pytest.mark.parametrize(
    ("own", "declared", "name", "sent", "asked"),
    [
        (spec("x", "FP32"), "rename: {old: x}", "old", of("FP32", [1, 2]), of("FP32", [1, 2])),
        (spec("x", "FP32"), "default: {x: 9}", "x", of("FP32", [1, np.nan]), of("FP32", [1, 9])),
        (spec("x", "BYTES"), "default: {x: none}", "x", of("BYTES", ["a", ""]), of("BYTES", ["a", "none"])),
        (spec("x", "INT64"), "map: {x: {a: 7, b: 8}}", "x", of("BYTES", ["b", "a"]), of("INT64", [8, 7])),
        (
            spec("x", "BYTES", 1),
            "map: {x: {'5': a, '-1': b}}\n    cast: {x: INT8}",
            "x",
            of("INT8", [[5], [-1]]),
            of("BYTES", [["a"], ["b"]]),
        ),
        (spec("x", "FP64"), "cast: {x: FP32}", "x", of("FP32", [0.1]), of("FP64", [np.float32(0.1)])),
        (spec("x", "FP32"), "cast: {x: FP64}", "x", of("FP64", [0.1, np.nan]), of("FP32", [0.1, np.nan])),
        (spec("x", "FP32"), "cast: {x: INT64}", "x", of("INT64", [2**24 + 1]), of("FP32", [2**24])),
        (spec("x", "INT8"), "cast: {x: FP16}", "x", of("FP16", [-128, 127]), of("INT8", [-128, 127])),
        (spec("x", "BF16"), "cast: {x: FP32}", "x", of("FP32", [1, 1 + 2**-9, -np.inf]), of("BF16", [1, 1, -np.inf])),
        (spec("x", "UINT64"), "cast: {x: INT64}", "x", of("INT64", [2**63 - 1]), of("UINT64", [2**63 - 1])),
        (spec("x", "BOOL"), "cast: {x: UINT8}", "x", of("UINT8", [0, 1]), of("BOOL", [False, True])),
        (spec("x", "FP32", 3), "reorder: {x: [2, 0, 1]}", "x", of("FP32", [[1, 2, 3]]), of("FP32", [[3, 1, 2]])),
        (
            spec("x", "FP32", 2),
            "select: {x: {columns: [3, 0], of: 4}}",
            "x",
            of("FP32", [[1, 2, 3, 4]]),
            of("FP32", [[4, 1]]),
        ),
        (
            spec("x", "FP32", 3),
            "reshape: {x: [-1, 2, 2]}\n    select: {x: {columns: [0, 1, 3], of: 4}}",
            "x",
            of("FP32", [[[1, 2], [3, 4]]]),
            of("FP32", [[1, 2, 4]]),
        ),
    ],
)
def test_a_version_is_asked_in_its_own_terms(
    own: TensorSpec, declared: str, name: str, sent: Tensor, asked: Tensor
) -> None:
    version = Recorded(Signature((own,), (own,)), lambda feeds: list(feeds.values()))
    session = behind(version, f"requests:\n    {declared}")

    session.run({name: sent})

    (given,) = version.asked.values()
    assert (given.dtype, given.shape, given.flags.c_contiguous) == (asked.dtype, asked.shape, True)
    np.testing.assert_array_equal(given, asked)
    assert session.signature.inputs[0].fits(sent.shape)
    assert NUMPY[session.signature.inputs[0].datatype] == sent.dtype


@pytest.mark.parametrize(
    ("own", "declared", "answer", "seen"),
    [
        (spec("y", "FP32"), "rename: {score: y}", of("FP32", [1]), of("FP32", [1])),
        (spec("y", "FP32"), "default: {y: 0}", of("FP32", [np.nan, 1]), of("FP32", [0, 1])),
        (spec("y", "INT64"), "map: {y: {'0': 'no', '1': 'yes'}}", of("INT64", [1, 0]), of("BYTES", ["yes", "no"])),
        (
            spec("y", "BYTES"),
            "map: {y: {a: 1, b: 0}}\n    cast: {y: UINT8}",
            of("BYTES", ["b", "a"]),
            of("UINT8", [0, 1]),
        ),
        (spec("y", "INT64"), "cast: {y: INT32}", of("INT64", [-5]), of("INT32", [-5])),
        (spec("y", "FP32", 3), "reorder: {y: [1, 2, 0]}", of("FP32", [[1, 2, 3]]), of("FP32", [[2, 3, 1]])),
        (
            spec("y", "FP32", 2),
            "select: {y: {columns: [1], of: 2}}\n    reshape: {y: [-1]}",
            of("FP32", [[1, 2], [3, 4]]),
            of("FP32", [2, 4]),
        ),
        (spec("y", "FP32", FREE), "select: {y: {columns: [1], of: 2}}", of("FP32", [[1, 2]]), of("FP32", [[2]])),
    ],
)
def test_callers_are_answered_in_theirs(own: TensorSpec, declared: str, answer: Tensor, seen: Tensor) -> None:
    version = Recorded(Signature((spec("x", "FP32"),), (own,)), lambda _: [answer])
    session = behind(version, f"responses:\n    {declared}")

    (found,) = session.run({"x": of("FP32", [0])})

    assert (found.dtype, found.shape) == (seen.dtype, seen.shape)
    np.testing.assert_array_equal(found, seen)
    assert session.signature.outputs[0].fits(found.shape)
    assert NUMPY[session.signature.outputs[0].datatype] == found.dtype


def test_constants_and_what_is_dropped_keep_the_rows_of_each_run() -> None:
    version = echo(spec("x", "FP32", 1), spec("region", "BYTES"), spec("rates", "FP64", 2))
    session = behind(
        version,
        "requests: {constant: {region: eu, rates: [1, 2.5]}, drop: {spare: {datatype: INT64, shape: [-1]}}}\n"
        "responses: {drop: [rates], constant: {model: {datatype: INT64, shape: [-1, 2], value: [4, 5]},"
        " fixed: {datatype: BOOL, shape: [1], value: true}, single: {datatype: FP32, shape: [], value: 1}}}",
    )

    for rows in (1, 3, 0):
        x, region, model, fixed, single = session.run({"x": np.zeros((rows, 1), np.float32), "spare": np.zeros(rows)})

        assert version.asked["rates"].tolist() == [[1, 2.5]] * rows
        assert (len(x), region.tolist(), model.tolist()) == (rows, ["eu"] * rows, [[4, 5]] * rows)
        assert (fixed.tolist(), single.shape, float(single)) == ([True], (), 1.0)
    assert [each.name for each in session.signature.inputs] == ["x", "spare"]
    assert [each.name for each in session.signature.outputs] == ["x", "region", "model", "fixed", "single"]


@pytest.mark.parametrize(
    ("own", "step", "sent"),
    [
        ("INT64", "map: {x: {a: 1}}", of("BYTES", ["b"])),
        ("INT64", "map: {x: {'1': 1}}\n    cast: {x: INT64}", of("INT64", [2])),
        ("FP32", "cast: {x: FP64}", of("FP64", [1e300])),
        ("FP16", "cast: {x: INT64}", of("INT64", [100_000])),
        ("BF16", "cast: {x: FP32}", of("FP32", [3.4e38])),
        ("INT64", "cast: {x: BF16}", of("BF16", [0.5])),
        ("INT64", "cast: {x: FP32}", of("FP32", [0.5])),
        ("INT64", "cast: {x: FP32}", of("FP32", [np.nan])),
        ("INT64", "cast: {x: FP32}", of("FP32", [2.0**63])),
        ("INT32", "cast: {x: FP16}", of("FP16", [np.inf])),
        ("INT8", "cast: {x: INT64}", of("INT64", [128])),
        ("UINT64", "cast: {x: INT64}", of("INT64", [-1])),
        ("BOOL", "cast: {x: INT8}", of("INT8", [2])),
    ],
)
def test_a_value_that_cannot_be_passed_on_is_refused_and_never_changed(own: str, step: str, sent: Tensor) -> None:
    there = Recorded(Signature((spec("x", own),), (spec("y", "FP32"),)), lambda _: [of("FP32", [0])])

    with pytest.raises(InputRefused, match="its adapter cannot pass the input 'x' on: it holds a") as caught:
        behind(there, f"requests:\n    {step}").run({"x": sent})

    assert there.asked == {}
    assert (caught.value.model, caught.value.version) == ("m", 2)


def test_an_answer_that_callers_cannot_be_given_is_the_versions_failure() -> None:
    there = Recorded(Signature((spec("x", "FP32"),), (spec("y", "INT64", FREE),)), lambda _: [of("INT64", [[1, 2, 3]])])

    with pytest.raises(ModelFailed, match="output 'y' on: it has 3 columns, and 2 are declared") as caught:
        behind(there, "responses: {select: {y: {columns: [0], of: 2}}}").run({"x": of("FP32", [0])})

    assert not isinstance(caught.value, InputRefused)


def test_a_version_without_an_adapter_keeps_its_own_session() -> None:
    own, metadata = echo(spec("x", "FP32")), Metadata()

    assert adapted(own, metadata, model="m", version=1) == (own, metadata.serving)


def test_the_rest_of_the_session_is_the_versions_own() -> None:
    own = echo(spec("x", "FP32"))
    session = behind(own, "requests: {rename: {old: x}}")

    session.stop()

    assert (session.warning, own.stops, session.pool_seconds()) == ("a warning", 1, 1.5)


def test_a_declaration_that_does_not_fit_is_bad_metadata() -> None:
    with pytest.raises(InvalidModel, match=r"metadata\.yaml: adapter\.requests\.rename\.old: 'w' is not one") as caught:
        behind(echo(spec("x", "FP32")), "requests: {rename: {old: w}}")

    assert caught.value.code == "bad_metadata"


def test_made_up_inputs_of_a_warm_up_get_through_an_adapter() -> None:
    own = echo(spec("c", "INT64"), spec("i", "INT64"), spec("x", "FP32"))
    declared = read_document(b"requests: {map: {c: {a: 5, b: 6}}, cast: {i: FP32}, constant: {x: 0}}")
    serving = Serving(warm_up={"c": WarmUpInput(shape=(1,)), "i": WarmUpInput(values=(3, 4))})

    session, wanted = adapted(own, Metadata(adapter=declared, serving=serving), model="m", version=2)
    shown = warm_up(session, wanted)

    assert wanted.warm_up == {"c": WarmUpInput((1,), ("a", "b")), "i": WarmUpInput(values=(3, 4))}
    assert (shown.batchable, shown.why_not) == (True, "")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), rows=st.integers(1, 4), width=st.integers(1, 5))
def test_an_adapter_of_a_known_transformation_restores_the_old_answers_exactly(
    data: st.DataObject, rows: int, width: int
) -> None:
    order = data.draw(st.permutations(range(width)))
    codes = data.draw(st.permutations(range(3)))
    seed = data.draw(st.integers(0, 2**32 - 1))
    draw = np.random.default_rng(seed)
    weights = draw.normal(size=(width, 3)).astype(np.float32)

    def old(x: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        shift = np.array([{"red": 0, "green": 1, "blue": 2}[each] for each in kind.tolist()], np.float32)
        scores = x @ weights + shift[:, None]
        return scores, scores.argmax(axis=1).astype(np.int32)

    def new(feeds: Mapping[str, Tensor]) -> list[Tensor]:  # other names, columns, codes, ranks and types
        names = {codes[0]: "red", codes[1]: "green", codes[2]: "blue"}
        kind = of("BYTES", [names[int(each)] for each in feeds["colour"].ravel()])
        back = np.empty((len(kind), width), np.float64)
        back[:, list(order)] = feeds["features"]
        scores, label = old(back.astype(np.float32), kind)
        return [label.astype(np.int64)[:, None], scores[:, [2, 0, 1]].astype(np.float64)]

    own = Recorded(
        Signature(
            (spec("colour", "INT64", 1), spec("features", "FP64", width)),
            (spec("best", "INT64", 1), spec("all", "FP64", 3)),
        ),
        new,
    )
    adapter = {
        "requests": {
            "rename": {"kind": "colour", "x": "features"}, "cast": {"x": "FP32"}, "reorder": {"x": list(order)},
            "map": {"kind": {"red": codes[0], "green": codes[1], "blue": codes[2]}}, "reshape": {"kind": [-1]},
        },
        "responses": {
            "rename": {"label": "best", "scores": "all"}, "cast": {"label": "INT32", "scores": "FP32"},
            "reorder": {"scores": [1, 2, 0]}, "reshape": {"label": [-1]},
        },
    }  # fmt: skip
    session, _ = adapted(own, Metadata(adapter=adapter), model="m", version=2)
    x = draw.normal(size=(rows, width)).astype(np.float32)
    kind = of("BYTES", draw.choice(["red", "green", "blue"], rows).tolist())

    label, scores = session.run({"x": x, "kind": kind})

    expected, best = old(x, kind)
    np.testing.assert_array_equal(scores, expected, strict=True)
    np.testing.assert_array_equal(label, best, strict=True)


DECLARED = """
requests:
  rename: {age: years}
  default: {age: 40, town: "?"}
  map: {sex: {M: 0, F: 1}}
  cast: {age: INT64}
  reorder: {pixels: [1, 0]}
  select: {rates: {columns: [0, 2], of: 3}}
  reshape: {pixels: [-1, 1, 2]}
  drop: {note: {datatype: BYTES, shape: [-1]}}
  constant: {region: 3, weights: [0.5, 1]}
responses:
  rename: {score: risk}
  drop: [debug]
  constant: {kind: {datatype: BYTES, shape: [-1], value: risk}}
"""


def test_what_is_read_is_written_as_it_was() -> None:
    declared = read_document(DECLARED.encode())

    assert written_adapter(read_adapter(declared)) == declared


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("[]", "adapter: must be a mapping"),
        ("{}", "adapter: says nothing"),
        ("{requests: {}}", "adapter: says nothing"),
        ("{inputs: {}}", "adapter.inputs: is not known here; known are requests, responses"),
        ("{requests: {renames: {}}}", "adapter.requests.renames: is not known here; known are rename, default"),
        ("{requests: {rename: [x]}}", "adapter.requests.rename: must be a mapping"),
        ("{requests: {rename: {x: 1}}}", "adapter.requests.rename.x: must be the name"),
        ("{requests: {default: {x: [1]}}}", "adapter.requests.default.x: must be a finite number"),
        ("{requests: {default: {x: .nan}}}", "adapter.requests.default.x: must be a finite number"),
        ("{requests: {cast: {x: FLOAT}}}", "unknown datatype 'FLOAT'"),
        ("{requests: {map: {x: {}}}}", "adapter.requests.map.x: must name a category"),
        ("{requests: {map: {x: {a: null}}}}", "adapter.requests.map.x.a: must be a finite number"),
        ("{requests: {reorder: {x: [0, 2]}}}", "adapter.requests.reorder.x: must list every column once"),
        ("{requests: {reorder: {x: []}}}", "adapter.requests.reorder.x: must list columns"),
        ("{requests: {reorder: {x: [true]}}}", "adapter.requests.reorder.x: must be a list of integers"),
        (
            "{requests: {reorder: {x: [0]}, select: {x: {columns: [0], of: 1}}}}",
            "adapter.requests.select.x: is reordered",
        ),
        ("{requests: {select: {x: [0]}}}", "adapter.requests.select.x: must be a mapping"),
        ("{requests: {select: {x: {columns: [0]}}}}", "adapter.requests.select.x.of: must be the number"),
        (
            "{requests: {select: {x: {columns: [2], of: 2}}}}",
            "adapter.requests.select.x.columns: must list columns from 0 to 1",
        ),
        ("{requests: {reshape: {x: [-1, 0]}}}", "adapter.requests.reshape.x: tensor 'x' has a dimension below 1"),
        (
            "{requests: {drop: {x: {datatype: FP32, shape: [-2]}}}}",
            "adapter.requests.drop.x.shape: tensor 'x' has a dimension below 1",
        ),
        ("{requests: {drop: {x: {shape: [1]}}}}", "adapter.requests.drop.x: tensor 'x' has the unknown datatype ''"),
        (
            "{requests: {drop: {x: {datatype: FP32, shape: [1], value: 1}}}}",
            "adapter.requests.drop.x.value: is not known",
        ),
        ("{responses: {drop: {x: 1}}}", "adapter.responses.drop: must be a list of names"),
        (
            "{responses: {constant: {x: {datatype: FP32, shape: [1]}}}}",
            "adapter.responses.constant.x.value: must be a finite number",
        ),
    ],
)
def test_a_declaration_that_cannot_be_read_is_refused_with_its_place(declared: str, said: str) -> None:
    with pytest.raises(InvalidModel) as caught:
        parse_metadata(f"adapter: {declared}".encode())

    assert caught.value.code == "bad_metadata"
    assert said in caught.value.reason
    with pytest.raises(InvalidAdapter):
        read_adapter(read_document(declared.encode()))


def test_classes_are_those_that_callers_see() -> None:
    found = parse_metadata(b"classes: [a, b]\nadapter: {responses: {reorder: {probabilities: [1, 0]}}}")

    assert found.classes == ("b", "a")
