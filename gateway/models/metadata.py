"""What ``metadata.yaml`` says of a version: where it comes from, and how it wants to be served.

Everything is optional. Unknown members are kept for people to read; unknown members of
``serving`` are refused, since a limit that was misspelt would otherwise silently not hold.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.core.adaptation import presented_classes
from gateway.core.adapter import InvalidAdapter
from gateway.core.errors import InvalidModel
from gateway.core.providers import read_providers
from gateway.models.adapter_document import read_adapter
from gateway.models.files import compare_digests, open_regular
from gateway.strict_yaml import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_BYTES: Final = 256 * 1024

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class WarmUpInput:
    """What one input gets before the version is READY. *values* fills a first and a second row, which should differ."""

    shape: tuple[int, ...] | None = None
    values: tuple[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """How a version wants to be served."""

    max_batch_rows: int = 64
    max_delay_ms: float = 0.0
    nonfinite: str = "error"
    """NaN and Inf in an output. ``error``: they fail the request. ``null``: JSON says null, binary and gRPC carry them.
    ``binary``: binary and gRPC carry them, and who asks for JSON is refused."""
    threads: int | None = None
    """Threads of one run; None leaves it to the gateway's setting, which is 1 unless an operator says otherwise."""
    warm_up: Mapping[str, WarmUpInput] = field(default_factory=dict)
    max_rows: int = 4096
    """Rows that one request may bring; a run takes more than ``max_batch_rows`` where one request does."""
    nonfinite_in: str = "pass"
    """``refuse``: NaN or Inf in an input fail the request. ``pass``: they reach the model, as missing values."""
    providers: tuple[str, ...] = ()
    """What runs it, the first choice first; empty leaves it to the gateway's setting."""
    cache_bytes: int = 0
    """What remembered answers may take in each worker; 0 remembers none."""
    allow_empty: bool = False
    """Whether a request may bring no rows, and is answered with none; proven when the version is warmed up."""
    pad: bool = False
    """Whether a graph with a fixed first axis takes any number of rows: runs are filled up to it; proven likewise."""
    latency_target_ms: float = 0.0
    """How soon a request is answered after it came into the queue: as few may wait as that takes. 0: as many as the
    gateway's setting allows."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What the version was trained on."""

    name: str = ""
    digest: str = ""
    rows: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The whole file. *sha256* is that of ``model.onnx``, *golden_sha256* that of ``golden.jsonl``, both in lower case,
    or empty where none is declared."""

    created: str = ""
    creator: str = ""
    sha256: str = ""
    golden_sha256: str = ""
    training_data: TrainingData = field(default_factory=TrainingData)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    source_revision: str = ""
    converter: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
    failed: str = ""
    """Why the version is not to be served, such as that it does not answer as its original; empty where it may be."""
    classes: tuple[str, ...] = ()
    """The labels, as text, in the order of the columns of ``probabilities``; where there is an adapter, behind it."""
    adapter: Mapping[str, Any] | None = None
    """As it is declared, and found readable; `read_adapter` makes a value of it."""
    serving: Serving = field(default_factory=Serving)
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_metadata(path: Path, *, declared: str = "") -> Metadata:
    """Return what the file at *path* says. *declared*: the SHA-256 it must have, in lower case; empty for any.

    Raises InvalidModel: bad_metadata, digest where it has another one, and what `open_regular` raises.
    """
    with open_regular(path, max_bytes=MAX_BYTES) as (descriptor, _):
        try:
            content = os.read(descriptor, MAX_BYTES + 1)
        except OSError as exc:
            raise InvalidModel("unreadable", f"{path.name} cannot be read: {exc.strerror}") from exc
    if len(content) > MAX_BYTES:
        raise InvalidModel("too_large", f"{path.name} may have {MAX_BYTES} bytes")
    compare_digests(path.name, hashlib.sha256(content).hexdigest() if declared else "", declared)
    return parse_metadata(content)


def parse_metadata(content: bytes) -> Metadata:
    """Return what *content*, the bytes of a ``metadata.yaml``, says. Raises InvalidModel with code bad_metadata."""
    try:
        loaded = read_document(content)
    except ValueError as exc:
        raise _bad("", str(exc)) from exc
    members = _Members("", {} if loaded is None else loaded)
    training = _Members("training_data.", members.take("training_data", dict, {}))
    adapter, classes = _adapter(members.take("adapter", object, None), _classes(members))
    return Metadata(
        created=members.text("created"),
        creator=members.text("creator"),
        sha256=members.digest("sha256"),
        golden_sha256=members.digest("golden_sha256"),
        training_data=TrainingData(
            name=training.text("name"),
            digest=training.text("digest"),
            rows=training.integer("rows", 0, 2**63 - 1, None),
            extra=training.rest(),
        ),
        parameters=members.take("parameters", dict, {}),
        metrics=members.numbers("metrics"),
        parents=members.texts("parents"),
        source_revision=members.text("source_revision"),
        converter=members.text("converter"),
        libraries=members.text_map("libraries"),
        notes=members.text("notes"),
        failed=members.text("failed"),
        classes=classes,
        adapter=adapter,
        serving=_serving(_Members("serving.", members.take("serving", dict, {}))),
        extra=members.rest(),
    )


def wishes_text(metadata: Metadata) -> str:
    """Return how the version wants to be served, and its adapter, as one line of text; the same for the same wishes."""
    return json.dumps({"serving": asdict(metadata.serving), "adapter": metadata.adapter}, sort_keys=True)


def read_wishes(text: str) -> Metadata:
    """Return what ``wishes_text`` wrote, and nothing else of it. Raises InvalidModel, code bad_metadata."""
    members = json.loads(text)
    return Metadata(serving=_serving(_Members("serving.", members["serving"])), adapter=members["adapter"])


def _serving(members: _Members) -> Serving:
    """Return the checked ``serving`` members; refuses unknown ones."""
    nonfinite = members.take("nonfinite", (str, type(None)), "error")
    if nonfinite not in ("error", "null", "binary", None):  # a bare `null` is None in YAML
        raise _bad("serving.nonfinite", "must be error, null or binary")
    nonfinite_in = members.take("nonfinite_in", str, "pass")
    if nonfinite_in not in ("pass", "refuse"):
        raise _bad("serving.nonfinite_in", "must be pass or refuse")
    serving = Serving(
        max_batch_rows=members.integer("max_batch_rows", 1, 4096, 64) or 64,
        max_rows=members.integer("max_rows", 1, 2**31 - 1, 4096) or 4096,
        max_delay_ms=members.number("max_delay_ms", 0.0, 1000.0, 0.0),
        nonfinite=nonfinite or "null",
        nonfinite_in=nonfinite_in,
        threads=members.integer("threads", 1, 256, None),
        providers=_providers(members.texts("providers")),
        cache_bytes=members.integer("cache_bytes", 0, 2**40, 0) or 0,
        allow_empty=members.take("allow_empty", bool, False),
        pad=members.take("pad", bool, False),
        latency_target_ms=members.number("latency_target_ms", 0.0, 600_000.0, 0.0),
        warm_up={
            name: _warm_up(name, given) for name, given in _named("serving.warm_up", members.take("warm_up", dict, {}))
        },
    )
    members.refuse_the_rest()
    return serving


def _providers(texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return read_providers(texts)
    except ValueError as exc:
        raise _bad("serving.providers", str(exc)) from exc


def _classes(members: _Members) -> tuple[str, ...]:
    """Return the labels that ``classes`` lists, or names as keys of their meanings."""
    given = members.take("classes", (list, dict), [])
    if not all(isinstance(each, str) or type(each) is int for each in given):
        raise _bad("classes", "must be a list of texts, or a mapping of labels to their meaning")
    return tuple(str(each) for each in given)


def _adapter(given: Any, classes: tuple[str, ...]) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    """Return the checked ``adapter``, None without one, and *classes* as callers see them behind it."""
    if given is None:
        return None, classes
    try:
        return given, presented_classes(read_adapter(given), classes)
    except InvalidAdapter as exc:
        raise _bad("", str(exc)) from exc


def _warm_up(name: str, given: Any) -> WarmUpInput:
    """Return what ``serving.warm_up.NAME`` says: ``{shape: [1, 3, 224, 224], values: [0.5, 0.7]}``, both optional."""
    at = f"serving.warm_up.{name}"
    members = _Members(f"{at}.", given)
    shape = members.take("shape", list, None)
    values = members.take("values", list, None)
    members.refuse_the_rest()
    if shape is not None and not all(type(size) is int and 1 <= size < 2**31 for size in shape):
        raise _bad(f"{at}.shape", "must be a list of positive integers")
    if values is not None and not (len(values) == 2 and all(isinstance(each, int | float | str) for each in values)):
        raise _bad(f"{at}.values", "must be a list of two numbers or texts, for a first and a second row")
    return WarmUpInput(None if shape is None else tuple(shape), None if values is None else (values[0], values[1]))


class _Members:
    """A mapping from which members are taken by name and type; what is left is unknown."""

    def __init__(self, prefix: str, given: Any) -> None:
        self._prefix = prefix
        self._left = dict(_named(prefix.rstrip("."), given))

    def take(self, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """Remove and return a member of type *kind*; *default* where it is absent, or null while *kind* has no null."""
        value = self._left.pop(name, default)
        if value is default or isinstance(value, kind):
            return value
        if value is None:
            return default
        raise _bad(self._prefix + name, f"must not be of type {type(value).__name__}")

    def text(self, name: str) -> str:
        return str(self.take(name, str, ""))

    def digest(self, name: str) -> str:
        value = self.text(name)
        if value and not _SHA256.fullmatch(value):
            raise _bad(self._prefix + name, "must be 64 hexadecimal digits")
        return value.lower()

    def integer(self, name: str, low: int, high: int, default: int | None) -> int | None:
        value = self.take(name, int, default)
        if value is None or (type(value) is int and low <= value <= high):
            return value
        raise _bad(self._prefix + name, f"must be an integer from {low} to {high}")

    def number(self, name: str, low: float, high: float, default: float) -> float:
        value = self.take(name, (int, float), default)
        if isinstance(value, bool) or not low <= value <= high:
            raise _bad(self._prefix + name, f"must be a number from {low:g} to {high:g}")
        return float(value)

    def numbers(self, name: str) -> dict[str, float]:
        """Return a mapping of names to numbers."""
        given = dict(_named(self._prefix + name, self.take(name, dict, {})))
        for key, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise _bad(f"{self._prefix}{name}.{key}", "must be a finite number")
        return {key: float(value) for key, value in given.items()}

    def text_map(self, name: str) -> dict[str, str]:
        """Return a mapping of names to texts."""
        given = dict(_named(self._prefix + name, self.take(name, dict, {})))
        for key, value in given.items():
            if not isinstance(value, str):
                raise _bad(f"{self._prefix}{name}.{key}", "must be text; put it in quotes")
        return given

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; integers, such as version numbers, count as their text."""
        given = self.take(name, list, [])
        if not all(isinstance(each, str) or type(each) is int for each in given):
            raise _bad(self._prefix + name, "must be a list of texts")
        return tuple(str(each) for each in given)

    def rest(self) -> dict[str, Any]:
        return self._left

    def refuse_the_rest(self) -> None:
        for name in self._left:
            raise _bad(self._prefix + name, "is not known here")


def _named(at: str, given: Any) -> list[tuple[str, Any]]:
    """Return the items of a mapping."""
    if not isinstance(given, dict):
        raise _bad(at, "must be a mapping")
    return list(given.items())


def _bad(at: str, reason: str) -> InvalidModel:
    return InvalidModel("bad_metadata", f"metadata.yaml: {at}: {reason}" if at else f"metadata.yaml: {reason}")
