"""Whether callers of one version can be served by another without being changed.

Compared are the tensors, by name, and the classes behind the columns of the probabilities. Each difference is one
finding with a verdict; nothing here says whether the other version is any good.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from gateway.core.signature import FREE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.core.signature import Signature, TensorSpec


class Verdict(Enum):
    """What a difference means to a caller."""

    COMPATIBLE = "compatible"
    NEEDS_ADAPTER = "needs an adapter"
    """Something between could undo it without losing anything: a new name, another type, another order."""
    BREAKING = "breaking"


MAX_TOLD: Final = 4
"""Differences that one sentence names; a version with other columns differs in dozens."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: the *rule* that it falls under, the *tensor*, what was and what is, and what that means."""

    rule: str
    tensor: str
    old: str
    new: str
    verdict: Verdict


WIDENS_TO: Final = {
    "BOOL": {"UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64"},
    "UINT8": {"UINT16", "UINT32", "UINT64", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64"},
    "UINT16": {"UINT32", "UINT64", "INT32", "INT64", "FP32", "FP64"},
    "UINT32": {"UINT64", "INT64", "FP64"},
    "INT8": {"INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64"},
    "INT16": {"INT32", "INT64", "FP32", "FP64"},
    "INT32": {"INT64", "FP64"},
    "FP16": {"FP32", "FP64"},
    "BF16": {"FP32", "FP64"},
    "FP32": {"FP64"},
}
"""Datatype → those that hold each of its values exactly."""


def compare(
    old: Signature, new: Signature, old_classes: Sequence[str] = (), new_classes: Sequence[str] = ()
) -> tuple[Finding, ...]:
    """Return every difference between two versions; classes are compared where both sides name theirs."""
    return (
        *_tensors("input", old.inputs, new.inputs),
        *_tensors("output", old.outputs, new.outputs),
        *_classes(tuple(old_classes), tuple(new_classes)),
    )


def compare_inputs(old: Signature, new: Signature) -> tuple[Finding, ...]:
    """Return the differences of the inputs alone: what counts where nobody reads the answers."""
    return tuple(_tensors("input", old.inputs, new.inputs))


def misfits(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return those of *findings* that callers notice."""
    return tuple(each for each in findings if each.verdict is not Verdict.COMPATIBLE)


def explain(finding: Finding) -> str:
    """Return one of the `misfits` in words: the tensor, what was and is, its rule, and what would make it fit."""
    tensor = f"the {finding.rule.partition(' ')[0]} {finding.tensor}"
    change = f"was {finding.old or 'not there'} and is {finding.new or 'not there'}"
    remedy = next(text for words, text in _REMEDIES if words in finding.rule).format(old=finding.old)
    if finding.verdict is Verdict.NEEDS_ADAPTER:
        remedy += ", or with an adapter: `gateway models adapt`"
    return f"{tensor} {change} ({finding.rule}: {finding.verdict.value}; {remedy})"


def summary(findings: Sequence[Finding]) -> str:
    """Return the first of the `misfits` in words, and how many more there are."""
    more = f", and {len(findings) - MAX_TOLD} more" if len(findings) > MAX_TOLD else ""
    return "; ".join(explain(each) for each in findings[:MAX_TOLD]) + more


_REMEDIES: Final = (
    ("renamed", "publish it under its old name"),
    ("input removed", "publish it with this input, used or not"),
    ("output removed", "publish it with this output too"),
    ("input added", "publish it without, with the value inside the graph"),
    ("type", "publish it with {old}, and a Cast inside the graph"),
    ("input shape", "publish it with {old}, or with n where the two differ"),
    ("output shape", "publish it with {old}"),
    ("rank", "publish it with {old}, and a Reshape inside the graph"),
    ("class", "publish it with the classes {old}"),
)
"""Words of a rule → what whoever makes the version can do about it."""


def worst(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict on all *findings* together."""
    verdicts = {each.verdict for each in findings}
    return next((each for each in (Verdict.BREAKING, Verdict.NEEDS_ADAPTER) if each in verdicts), Verdict.COMPATIBLE)


def _tensors(role: str, old: Sequence[TensorSpec], new: Sequence[TensorSpec]) -> Iterator[Finding]:
    """Yield what differs between the inputs, or the outputs, of two versions."""
    before, after = {spec.name: spec for spec in old}, {spec.name: spec for spec in new}
    gone = [spec for spec in old if spec.name not in after]
    come = [spec for spec in new if spec.name not in before]
    for spec in old:
        if spec.name in after:
            yield from _tensor(role, spec, after[spec.name])
    for was, now in _renamed(gone, come):
        gone.remove(was)
        come.remove(now)
        yield Finding(f"{role} renamed", was.name, was.name, now.name, Verdict.NEEDS_ADAPTER)
    # One too many in a request can be left out, one too many in an answer ignored; what is missing cannot be made up.
    removed = Verdict.NEEDS_ADAPTER if role == "input" else Verdict.BREAKING
    added = Verdict.BREAKING if role == "input" else Verdict.COMPATIBLE
    yield from (Finding(f"{role} removed", spec.name, _said(spec), "", removed) for spec in gone)
    yield from (Finding(f"{role} added", spec.name, "", _said(spec), added) for spec in come)


def _renamed(gone: Sequence[TensorSpec], come: Sequence[TensorSpec]) -> list[tuple[TensorSpec, TensorSpec]]:
    """Return the pairs that differ in the name only, where each has no other that it could be."""
    pairs = []
    for was in gone:
        twins = [spec for spec in come if _kind(spec) == _kind(was)]
        rivals = [spec for spec in gone if _kind(spec) == _kind(was)]
        if len(twins) == len(rivals) == 1:
            pairs.append((was, twins[0]))
    return pairs


def _kind(spec: TensorSpec) -> tuple[str, tuple[int, ...]]:
    return spec.datatype, spec.shape


def _tensor(role: str, old: TensorSpec, new: TensorSpec) -> Iterator[Finding]:
    """Yield what differs between two tensors of one name."""
    if old.datatype != new.datatype:
        yield _datatype(role, old, new)
    if len(old.shape) != len(new.shape):
        yield Finding(f"{role} rank", old.name, _sizes(old), _sizes(new), Verdict.BREAKING)
    elif old.shape != new.shape:
        pairs = [(was, now) for was, now in zip(old.shape, new.shape, strict=True) if was != now]
        # What was sent before fits an axis that is free now; what is read from a fixed one was right for a free one.
        widened = all((now if role == "input" else was) == FREE for was, now in pairs)
        verdict = Verdict.COMPATIBLE if widened else Verdict.BREAKING
        yield Finding(f"{role} shape", old.name, _sizes(old), _sizes(new), verdict)


def _datatype(role: str, old: TensorSpec, new: TensorSpec) -> Finding:
    """A value has to fit on its way: into the new input, or out of the new output into what callers read."""
    source, target = (old.datatype, new.datatype) if role == "input" else (new.datatype, old.datatype)
    fits = target in WIDENS_TO.get(source, ())
    change = "widened" if new.datatype in WIDENS_TO.get(old.datatype, ()) else "narrowed or changed"
    verdict = Verdict.NEEDS_ADAPTER if fits else Verdict.BREAKING
    return Finding(f"{role} type {change}", old.name, old.datatype, new.datatype, verdict)


def _classes(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Finding]:
    """Yield what differs between the classes, in the order of the columns of the probabilities."""
    if not old or not new or old == new:
        return
    same = sorted(old) == sorted(new)
    rule, verdict = ("class order", Verdict.NEEDS_ADAPTER) if same else ("class set", Verdict.BREAKING)
    yield Finding(rule, "label", ", ".join(old), ", ".join(new), verdict)


def _said(spec: TensorSpec) -> str:
    return f"{spec.datatype} {_sizes(spec)}"


def _sizes(spec: TensorSpec) -> str:
    return f"[{', '.join('n' if size == FREE else str(size) for size in spec.shape)}]"
