"""A version, and what can be made of it: each child is rewritten apart, asked beside its parent, judged, published.

A child is published where it answers as its parent does within what was allowed, and is smaller or faster by more
than chance gives. What is not published says why.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.convert import messages as convert_messages
from gateway.convert import parity, provenance
from gateway.convert.confined import last_words, run_confined, was_killed
from gateway.convert.description import described
from gateway.convert.messages import write_message
from gateway.convert.samples import read_sample
from gateway.convert.scratch import scratch_directory
from gateway.core.errors import InvalidModel
from gateway.evaluation.asking import ask, copy_model
from gateway.evaluation.errors import CannotEvaluate
from gateway.evaluation.tensors import pack
from gateway.models.metadata import read_metadata
from gateway.models.publishing import publish, refusal
from gateway.models.repository import METADATA_FILE, MODEL_FILE
from gateway.optimization import messages
from gateway.optimization.errors import CannotOptimize
from gateway.optimization.messages import Order
from gateway.strict_yaml import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gateway.convert.parity import Parity
    from gateway.convert.samples import Sample
    from gateway.evaluation.asking import Asked
    from gateway.models.publishing import Publish
    from gateway.optimization.rewritings import Rewriting

    Array = NDArray[Any]

TOLERANCE: Final = 0.1
BEYOND: Final = 0.01
"""The share of rows that may differ: in their label, or in a number by more than the tolerance."""

SMALLER: Final = 0.95
FASTER: Final = 0.9
LOADS_FASTER: Final = 0.7
"""What is left of the parent's size, median run time or load time where a child helps. Times vary by themselves."""

KEPT: Final = ("classes", "serving", "training_data")
"""Members of the parent's metadata that hold for the child."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants made of one version. *data* are rows to compare on, without the column *target*."""

    models: Path
    name: str
    version: int
    rewritings: tuple[Rewriting, ...]
    data: Path
    target: str | None = None
    tolerance: float = TOLERANCE
    beyond: float = BEYOND
    seconds: int = 300
    publish: Publish = publish
    """Writes a child; below *models*, unless that is a copy of a repository elsewhere."""


@dataclass(frozen=True, slots=True)
class Child:
    """What became of one rewriting: a published *version*, or None and *why* not. *asked* is None where nothing ran."""

    rewriting: Rewriting
    version: int | None
    asked: Asked | None
    parity: Parity | None
    why: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The parent as it was measured, and each child."""

    wish: Wish
    parent: Asked
    children: tuple[Child, ...]


def optimize(wish: Wish) -> Outcome:
    """Make and publish the children. Raises CannotOptimize, CannotEvaluate, and what reading the rows raises."""
    inherited = _of_parent(wish)
    sample = _rows(wish)
    model = wish.models / wish.name / str(wish.version) / MODEL_FILE
    parent = ask(model, sample.columns, called=f"{wish.name}/{wish.version}", seconds=wish.seconds)
    children = tuple(_child(wish, rewriting, model, sample, parent, inherited) for rewriting in wish.rewritings)
    return Outcome(wish, parent, children)


def _rows(wish: Wish) -> Sample:
    sample = read_sample(wish.data)
    if wish.target is None:
        return sample
    if wish.target not in sample.columns:
        raise CannotOptimize(f"{wish.data.name} has no column {wish.target!r} that could be left out; correct --target")
    return sample.only([each for each in sample.columns if each != wish.target])


def _child(
    wish: Wish, rewriting: Rewriting, model: Path, sample: Sample, parent: Asked, inherited: Mapping[str, Any]
) -> Child:
    """Return what became of one *rewriting*; whatever goes wrong is its own."""
    with scratch_directory() as scratch, scratch_directory() as apart:
        graph = apart / MODEL_FILE
        try:
            said = _rewrite(wish, rewriting, model, sample.columns, scratch)
            convert_messages.take_graph(scratch, graph)
            asked = ask(graph, sample.columns, called=f"the result of {rewriting.name}", seconds=wish.seconds)
        except (CannotOptimize, CannotEvaluate) as exc:
            return Child(rewriting, None, None, None, why=str(exc))
        found = parity.compare(
            parent.answers, asked.answers, tolerance=wish.tolerance, allowed=int(wish.beyond * sample.rows)
        )
        why = found.reason.replace("converted model", "child").replace("original", "parent") or _no_help(parent, asked)
        if why:
            return Child(rewriting, None, asked, found, why, said)
        members = {**_described(wish, rewriting, sample, asked, found, said), **inherited}
        version = _publish(wish, graph.read_bytes(), members)
        return Child(rewriting, version, asked, found, said=said)


def _rewrite(wish: Wish, rewriting: Rewriting, model: Path, columns: Mapping[str, Array], scratch: Path) -> str:
    """Leave the new graph in *scratch*, and return what there is to tell. Raises CannotOptimize, CannotEvaluate."""
    copy_model(model, scratch / messages.SOURCE, called=f"{wish.name}/{wish.version}")
    (scratch / messages.COLUMNS).write_bytes(pack(columns))
    order = Order(wish.seconds, rewriting.kind, rewriting.level, rewriting.amount)
    write_message(scratch / messages.ORDER, order)
    code = run_confined("gateway.optimization.child", scratch, seconds=wish.seconds)
    report = messages.read_report(scratch) if code == 0 else None
    if report is None:
        raise CannotOptimize(_explain(code, scratch, wish.seconds))
    if report.refusal:
        raise CannotOptimize(report.refusal)
    return report.said


def _explain(code: int | None, scratch: Path, seconds: int) -> str:
    if code is None:
        return f"it took longer than {seconds} s and was ended; give it more with --timeout"
    if was_killed(code):
        return "its process was killed: it wanted more memory or processor time than it may have"
    return f"its process ended with exit code {code} and no report: {last_words(scratch)}"


def _no_help(parent: Asked, child: Asked) -> str:
    """Return why nobody gains from the *child*; empty where somebody does."""
    helps = (
        child.size_bytes <= SMALLER * parent.size_bytes
        or child.row.p50_ms <= FASTER * parent.row.p50_ms
        or child.batch.p50_ms <= FASTER * parent.batch.p50_ms
        or child.load_ms <= LOADS_FASTER * parent.load_ms
    )
    return "" if helps else "it does not help: not smaller by 5 %, nor faster by 10 % in a run or by 30 % in loading"


def _described(
    wish: Wish, rewriting: Rewriting, sample: Sample, asked: Asked, found: Parity, said: str
) -> dict[str, Any]:
    """Return what the child's metadata says, but for what it has from its parent."""
    parent = f"{wish.name}/{wish.version}"
    return {
        "created": provenance.now(),
        "creator": provenance.creator(),
        "sha256": asked.sha256,
        "parents": [f"{parent}:{rewriting.relation}"],
        "notes": ". ".join(filter(None, (f"{parent} after {rewriting.name}", said, rewriting.note))),
        "converter": f"gateway models optimize, {rewriting.name}",
        "sample": {"name": wish.data.name, "digest": f"sha256:{sample.digest}", "rows": sample.rows},
        "parity": {"with": parent, "holds": found.holds, **asdict(found)},
    }


def _publish(wish: Wish, content: bytes, members: Mapping[str, Any]) -> int:
    """Write the child under the next number, and return that. Raises CannotOptimize."""
    try:
        return wish.publish(wish.models, wish.name, {MODEL_FILE: content, METADATA_FILE: described(members)})
    except OSError as exc:
        raise CannotOptimize(refusal(wish.models, exc)) from exc


def _of_parent(wish: Wish) -> dict[str, Any]:
    """Return what the parent's metadata says of its children too. Raises CannotOptimize, for a failed parent too."""
    path = wish.models / wish.name / str(wish.version) / METADATA_FILE
    if not path.exists():
        return {}
    try:
        said = read_metadata(path)
        found = read_document(path.read_bytes()) or {}
    except InvalidModel as exc:
        raise CannotOptimize(f"{wish.name}/{wish.version}: {exc.reason}") from exc
    called = f"{wish.name}/{wish.version}"
    if said.failed:
        raise CannotOptimize(f"{called} was published as failed, and so would be its child: {said.failed}")
    if said.adapter is not None:
        raise CannotOptimize(f"{called} has an adapter; optimise the version it was adapted from, and adapt the child")
    return {name: found[name] for name in KEPT if name in found}


def largest(found: Parity) -> float | None:
    """Return the largest absolute difference of any number, None where there are no numbers."""
    apart: Sequence[float] = [each.largest_absolute for each in found.outputs if each.largest_absolute is not None]
    return max(apart, default=None)


def beyond(found: Parity) -> int:
    """Return how many rows differ in the output that differs most."""
    return max((each.beyond for each in found.outputs), default=0)
