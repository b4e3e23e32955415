"""A file becomes a version: read and converted apart, loaded and asked here, compared, described, published.

What is published was loaded by the gateway's own engine and warmed as a worker would. A version that does not
answer as its original is published as failed: its number and its proof can be looked at, and no worker serves it.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import yaml

from gateway.convert import isolation, messages, parity, provenance
from gateway.convert.checking import interface
from gateway.convert.description import described
from gateway.convert.errors import CannotConvert, NotTrusted
from gateway.convert.estimators import PICKLES, SKOPS, XGBOOST
from gateway.convert.golden import golden_rows
from gateway.convert.samples import Sample, is_text, read_sample
from gateway.convert.scratch import scratch_directory
from gateway.convert.trial import ask_sample
from gateway.core.compatibility import Verdict, compare, worst
from gateway.core.errors import ModelFailed
from gateway.core.names import is_model_name
from gateway.engine.onnx import OnnxEngine
from gateway.models.metadata import parse_metadata
from gateway.models.publishing import publish, refusal
from gateway.models.repository import GOLDEN_FILE, METADATA_FILE, MODEL_FILE
from gateway.models.warmup import warm_up

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.convert.messages import Report
    from gateway.convert.parity import Parity
    from gateway.models.publishing import Publish
    from gateway.ports.engine import Session

ONNX: Final = ".onnx"
READ: Final = (*PICKLES, SKOPS, *XGBOOST, ONNX)
SECONDS: Final = 300
MAX_TEXT: Final = 200
"""Characters of a sample's text that the metadata may repeat, for the warm-up."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants converted. *sample* may be None for an ONNX file only; *is_training_data* says what it is."""

    file: Path
    name: str
    models: Path
    sample: Path | None = None
    is_training_data: bool = False
    trusted: bool = False
    tolerance: float = parity.TOLERANCE
    allowed: int = 0
    notes: str = ""
    parents: tuple[str, ...] = ()
    seconds: int = SECONDS
    golden: int = 0
    """So many rows of the sample are kept as golden requests: whoever reads the repository sees them."""
    known: Mapping[str, Any] = field(default_factory=dict)
    """Members of the metadata that come with the file, such as the metrics of its run."""
    fits: Path | None = None
    """The model file whose callers the version has to answer as well, or it is not published."""
    publish: Publish = publish
    """Writes the version; below *models*, unless that is a copy of a repository elsewhere."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of it. *failed* is empty, or why no worker will serve the version."""

    name: str
    version: int
    path: Path
    sha256: str
    parity: Parity | None
    failed: str = ""
    held: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())


def convert(wish: Wish) -> Done:
    """Publish the version that *wish* describes. Raises CannotConvert and InvalidModel; then nothing was written."""
    _check(wish)
    if wish.file.is_dir():
        return _import_savedmodel(wish)
    if wish.file.suffix == ONNX:
        return _import(wish, wish.file)
    assert wish.sample is not None
    with scratch_directory() as scratch, scratch_directory() as apart:
        report = isolation.run(scratch, wish.file, wish.sample, trusted=wish.trusted, seconds=wish.seconds)
        messages.take_graph(scratch, apart / messages.GRAPH)
        return _prove(wish, apart / messages.GRAPH, messages.read_answers(scratch), report, read_sample(wish.sample))


def _check(wish: Wish) -> None:
    """Refuse what cannot become a version, before anything is run."""
    if not is_model_name(wish.name):
        raise CannotConvert(f"{wish.name!r} cannot name a model: up to 63 letters, digits, '.', '_' and '-'")
    if wish.golden and wish.sample is None:
        raise CannotConvert("golden requests are rows of a sample, and there is none; give some with --sample")
    provenance.check_parents(wish.models, wish.name, wish.parents)
    if wish.file.is_dir():
        if not wish.trusted:
            raise NotTrusted(
                f"{wish.file.name} is a SavedModel, which is a program; add --trust if you trust whoever wrote it"
            )
        return
    if not wish.file.is_file():
        raise CannotConvert(f"there is no file {wish.file}; name the saved model")
    if wish.file.suffix not in READ:
        raise CannotConvert(f"{wish.file.name} is none of {', '.join(READ)}; save it as one of them")
    if wish.file.suffix != ONNX and wish.sample is None:
        raise CannotConvert("rows are needed that name the inputs and prove the conversion; give some with --sample")
    if wish.file.suffix in PICKLES and not wish.trusted:
        raise NotTrusted(
            f"{wish.file.name} is a pickle, and reading it runs whatever code it holds; add --trust if you trust "
            f"whoever wrote it, or have it saved with skops, which is read without running anything"
        )


def _import_savedmodel(wish: Wish) -> Done:
    """Publish the graph that tf2onnx makes of a SavedModel, once it loads, warms, and was asked the sample if any."""
    with scratch_directory() as scratch, scratch_directory() as apart:
        report = isolation.run_savedmodel(scratch, wish.file, wish.sample, seconds=wish.seconds)
        messages.take_graph(scratch, apart / messages.GRAPH)
        original = messages.read_answers(scratch) if wish.sample else None
        return _import(wish, apart / messages.GRAPH, report, original)


def _import(wish: Wish, file: Path, report: Report | None = None, original: Mapping[str, Any] | None = None) -> Done:
    """Publish the ONNX *file* as it is, once it loads, warms, and answers the sample where there is one.

    *report*: how it was made, where it was made of something else; *original*: what that answered to the sample.
    """
    session = _warm(file, {})
    tried: dict[str, Any] = {}
    golden, found = b"", None
    if wish.sample is not None:
        sample = read_sample(wish.sample)
        feeds, answers = ask_sample(session, sample)
        tried = _described(wish, sample)
        if original is not None:
            answers = {name: np.atleast_1d(answer) for name, answer in answers.items()}
            found = parity.compare(original, answers, tolerance=wish.tolerance, allowed=wish.allowed)
            tried["parity"] = {"holds": found.holds, **asdict(found)}
        golden = _golden(wish, session, feeds) if found is None or found.holds else b""
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise CannotConvert(f"{file} cannot be read: {exc.strerror}") from exc
    made: dict[str, Any] = {"converter": "none: imported as it was"}
    if report is not None:
        version = report.libraries.get("tf2onnx", "")
        made = {"converter": f"tf2onnx {version}".strip(), "libraries": report.libraries}
    return _publish(wish, content, {**_origin(wish, content), **tried, **made}, found, golden, report)


def _prove(wish: Wish, graph: Path, original: Mapping[str, Any], report: Report, sample: Sample) -> Done:
    """Compare the answers of the file at *graph* with those of the *original*, and publish it with the result."""
    sample = sample.only(report.columns)
    serving = _serving(sample)
    session = _warm(graph, serving)
    if wish.fits is not None:
        _refuse_misfit(wish.fits, session, tuple(report.classes))
    feeds = _feeds(sample)
    converted = dict(zip((spec.name for spec in session.signature.outputs), _ask(session, feeds), strict=True))
    found = parity.compare(original, converted, tolerance=wish.tolerance, allowed=wish.allowed)
    content = graph.read_bytes()
    found_out = {
        **_origin(wish, content),
        **_described(wish, sample),
        "estimator": report.estimator,
        "parameters": report.parameters,
        "classes": report.classes,
        "converter": f"skl2onnx {report.libraries.get('skl2onnx', '')}".strip(),
        "libraries": report.libraries,
        "parity": {"holds": found.holds, **asdict(found)},
        "serving": serving,
    }
    golden = _golden(wish, session, feeds) if found.holds else b""
    return _publish(wish, content, found_out, found, golden, report)


def _refuse_misfit(known: Path, session: Session, classes: tuple[str, ...]) -> None:
    """Raise CannotConvert where callers of the version in the file *known* would notice another one."""
    before, old_classes = interface(known)
    found = compare(before, session.signature, old_classes, classes)
    if worst(found) is not Verdict.COMPATIBLE:
        told = "; ".join(f"{each.tensor}: {each.rule}" for each in found if each.verdict is not Verdict.COMPATIBLE)
        raise CannotConvert(f"callers of version {known.parent.name} would notice the new one ({told})")


def _described(wish: Wish, sample: Sample) -> dict[str, Any]:
    """Return what the metadata says of the rows."""
    data = {"name": wish.sample.name if wish.sample else "", "digest": f"sha256:{sample.digest}", "rows": sample.rows}
    return {"training_data" if wish.is_training_data else "sample": data}


def _warm(path: Path, serving: dict[str, Any]) -> Session:
    """Return the session over the graph at *path*, loaded and warmed as a worker will."""
    session = OnnxEngine().load(path, model="converted", version=1, threads=1)
    warm_up(session, parse_metadata(yaml.safe_dump({"serving": serving}).encode()).serving)
    return session


def _feeds(sample: Sample) -> dict[str, Any]:
    """Return the columns of the sample by input, its numbers rounded to 32 bits as callers send them."""
    with np.errstate(over="ignore"):
        return {
            name: (column if is_text(column) else column.astype(np.float32)).reshape(sample.rows, -1)
            for name, column in sample.columns.items()
        }


def _golden(wish: Wish, session: Session, feeds: Mapping[str, Any]) -> bytes:
    """Return the file of golden requests that *wish* asks for, empty for none."""
    return golden_rows(session, feeds, wish.golden) if wish.golden else b""


def _ask(session: Session, feeds: Mapping[str, Any]) -> list[Any]:
    """Return what the converted model answers to the sample."""
    try:
        return session.run(feeds)
    except ModelFailed as exc:
        raise CannotConvert(f"the converted model cannot answer the sample: {exc.reason}; the log says why") from exc


def _serving(sample: Sample) -> dict[str, Any]:
    """Return texts of the sample to warm up with: made-up ones may be none that the model knows."""
    chosen = {}
    for name, column in sample.columns.items():
        if is_text(column):
            texts = sorted({text for text in column if 0 < len(text) <= MAX_TEXT})[:2]
            if len(texts) == 2:
                chosen[name] = {"values": texts}
    return {"warm_up": chosen} if chosen else {}


def _origin(wish: Wish, content: bytes) -> dict[str, Any]:
    return {
        "created": provenance.now(),
        "creator": provenance.creator(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "source": wish.file.name,
        "source_revision": provenance.source_revision(wish.file.resolve().parent),
        "parents": list(wish.parents),
        **wish.known,
        **({"notes": wish.notes} if wish.notes else {}),
    }


def _publish(
    wish: Wish,
    content: bytes,
    found_out: dict[str, Any],
    found: Parity | None,
    golden: bytes,
    report: Report | None = None,
) -> Done:
    """Write the files under the next number."""
    failed = found.reason if found else ""
    members = {"failed": failed, **found_out}
    if golden:
        members["golden_sha256"] = hashlib.sha256(golden).hexdigest()
    kept = {GOLDEN_FILE: golden} if golden else {}
    text = described(members)
    try:
        version = wish.publish(wish.models, wish.name, {MODEL_FILE: content, METADATA_FILE: text, **kept})
    except OSError as exc:
        raise CannotConvert(refusal(wish.models, exc)) from exc
    return Done(
        wish.name, version, wish.models / wish.name / str(version), found_out["sha256"], found, failed,
        tuple(report.held) if report else (), tuple(report.notes) if report else (),
    )  # fmt: skip
