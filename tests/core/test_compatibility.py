"""What callers of one version meet at another."""

from __future__ import annotations

import pytest

from gateway.core.compatibility import Finding, Verdict, compare, compare_inputs, explain, misfits, summary, worst
from gateway.core.signature import FREE, Signature, TensorSpec

OK, ADAPTER, BREAKS = Verdict.COMPATIBLE, Verdict.NEEDS_ADAPTER, Verdict.BREAKING
X = TensorSpec("x", "FP32", (FREE, 3))
Y = TensorSpec("y", "FP32", (FREE, 2))
Z = TensorSpec("z", "INT64", (FREE,))


def inputs(*specs: TensorSpec) -> Signature:
    return Signature(specs, (Y,))


def outputs(*specs: TensorSpec) -> Signature:
    return Signature((X,), specs)


def as_input(datatype: str, *shape: int) -> Signature:
    return inputs(TensorSpec("x", datatype, shape))


def as_output(datatype: str, *shape: int) -> Signature:
    return outputs(TensorSpec("y", datatype, shape))


@pytest.mark.parametrize(
    ("old", "new", "rule", "tensor", "verdict"),
    [
        (inputs(X), inputs(X, Z), "input added", "z", BREAKS),
        (inputs(X, Z), inputs(X), "input removed", "z", ADAPTER),
        (outputs(Y), outputs(Y, Z), "output added", "z", OK),
        (outputs(Y, Z), outputs(Y), "output removed", "z", BREAKS),
        (inputs(X), inputs(TensorSpec("w", "FP32", (FREE, 3))), "input renamed", "x", ADAPTER),
        (outputs(Y), outputs(TensorSpec("w", "FP32", (FREE, 2))), "output renamed", "y", ADAPTER),
        (as_input("FP32", FREE), as_input("FP64", FREE), "input type widened", "x", ADAPTER),
        (as_input("FP64", FREE), as_input("FP32", FREE), "input type narrowed or changed", "x", BREAKS),
        (as_input("INT64", FREE), as_input("BYTES", FREE), "input type narrowed or changed", "x", BREAKS),
        (as_output("FP32", FREE), as_output("FP64", FREE), "output type widened", "y", BREAKS),
        (as_output("INT64", FREE), as_output("INT32", FREE), "output type narrowed or changed", "y", ADAPTER),
        (as_input("FP32", FREE, 3), as_input("FP32", FREE), "input rank", "x", BREAKS),
        (as_input("FP32", 1, 3), as_input("FP32", FREE, 3), "input shape", "x", OK),
        (as_input("FP32", FREE, 3), as_input("FP32", 1, 3), "input shape", "x", BREAKS),
        (as_input("FP32", FREE, 3), as_input("FP32", FREE, 4), "input shape", "x", BREAKS),
        (as_output("FP32", FREE, 2), as_output("FP32", 1, 2), "output shape", "y", OK),
        (as_output("FP32", 1, 2), as_output("FP32", FREE, 2), "output shape", "y", BREAKS),
        (as_output("FP32", FREE, 2), as_output("FP32", FREE, 3), "output shape", "y", BREAKS),
    ],
)
def test_every_kind_of_difference_has_its_verdict(
    old: Signature, new: Signature, rule: str, tensor: str, verdict: Verdict
) -> None:
    (found,) = compare(old, new)

    assert (found.rule, found.tensor, found.verdict) == (rule, tensor, verdict)
    assert misfits([found]) == (() if verdict is OK else (found,))
    assert verdict is OK or f"({rule}: {verdict.value}; publish it with" in explain(found).replace("under", "with")


def test_a_misfit_is_told_with_what_would_make_it_fit() -> None:
    (found,) = misfits(compare(inputs(X), as_input("FP32", FREE, 4)))
    (classes,) = compare(inputs(X), inputs(X), ("a", "b"), ("b", "a"))

    assert explain(found) == (
        "the input x was [n, 3] and is [n, 4] "
        "(input shape: breaking; publish it with [n, 3], or with n where the two differ)"
    )
    assert explain(classes).endswith("publish it with the classes a, b, or with an adapter: `gateway models adapt`)")


def test_four_misfits_are_told_and_how_many_more_there_are() -> None:
    gone = [Finding("output removed", f"y{number}", "FP32 [n]", "", BREAKS) for number in range(6)]

    assert summary(gone[:4]).count("; publish it with this output too") == 4
    assert summary(gone).count("y") == summary(gone[:4]).count("y")
    assert summary(gone).endswith(", and 2 more")


def test_where_nobody_reads_answers_outputs_do_not_count() -> None:
    assert compare_inputs(outputs(Y), outputs(Z)) == ()


def test_what_is_the_same_has_no_findings_whatever_its_order() -> None:
    assert compare(Signature((X, Z), (Y,)), Signature((Z, X), (Y,)), ("a",), ("a",)) == ()


def test_two_that_could_be_each_other_are_not_taken_for_renamed() -> None:
    twins = [TensorSpec(name, "FP32", (FREE, 1)) for name in "abcd"]

    found = compare(inputs(*twins[:2]), inputs(*twins[2:]))

    assert sorted(each.rule for each in found) == ["input added"] * 2 + ["input removed"] * 2


@pytest.mark.parametrize(
    ("old", "new", "findings"),
    [
        (("no", "yes"), ("no", "yes"), ()),
        (("no", "yes"), ("yes", "no"), (Finding("class order", "label", "no, yes", "yes, no", ADAPTER),)),
        (("no", "yes"), ("no", "maybe"), (Finding("class set", "label", "no, yes", "no, maybe", BREAKS),)),
        ((), ("no", "yes"), ()),
        (("no", "yes"), (), ()),
    ],
)
def test_classes_are_compared_where_both_are_known(
    old: tuple[str, ...], new: tuple[str, ...], findings: tuple[Finding, ...]
) -> None:
    assert compare(outputs(Y), outputs(Y), old, new) == findings


@pytest.mark.parametrize(
    ("verdicts", "expected"), [([], OK), ([OK], OK), ([OK, ADAPTER], ADAPTER), ([ADAPTER, BREAKS, OK], BREAKS)]
)
def test_the_worst_finding_decides(verdicts: list[Verdict], expected: Verdict) -> None:
    assert worst([Finding("rule", "x", "", "", each) for each in verdicts]) is expected
