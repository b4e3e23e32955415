"""The words that the text inputs of a model know, read from its file without a session.

A graph that counts words has a ``TfIdfVectorizer`` with a pool of them, behind a ``Tokenizer`` and a
``StringNormalizer`` as skl2onnx writes them. The way is followed back from the pool to the input whose texts reach it.

Source: field numbers from onnx.proto, IR version 13; the attributes from the ONNX operators and ONNX Runtime's contrib
operators.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.core.vocabulary import (
    MOST_LETTERS,
    MOST_WORDS,
    SKLEARN_TOKENS,
    KnownWords,
    UnusableVocabulary,
    Vocabulary,
)
from gateway.engine.onnx_file import walking

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.engine.onnx_file import Walk

MOST_NODES: Final = 20_000
"""Of a graph with more none is looked at: models that count words are small."""

_COUNTS: Final = "TfIdfVectorizer"
_CUTS: Final = "Tokenizer"
_CASES: Final = "StringNormalizer"
_PASSES: Final = frozenset(("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze", _CUTS, _CASES))
"""What hands texts on from its first input."""


@dataclass(slots=True)
class _Node:
    """One node: its attributes by name are where they lie in the file."""

    op: str = ""
    source: str = ""
    outputs: list[str] = field(default_factory=list)
    attributes: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Attribute:
    """What an attribute says, of the kinds that are read here."""

    number: int = 0
    text: str = ""
    numbers: list[int] = field(default_factory=list)


def vocabularies_in(path: Path) -> KnownWords:
    """Return what the text inputs of the model at *path* know, the first that can be used of each. Blocks.

    All together have at most MOST_WORDS. Raises InvalidModel, code bad_model, where it is no ONNX file.
    """
    found: dict[str, Vocabulary] = {}
    refused: dict[str, str] = {}
    with walking(path) as walk:
        nodes, inputs = _graph_of(walk)
        makers = {output: node for node in nodes for output in node.outputs}
        for node in nodes:
            if node.op != _COUNTS:
                continue
            way = _way_back(node, makers)
            name = way[-1].source
            if name not in inputs or name in found:
                continue
            try:
                room = MOST_WORDS - sum(len(each.words) for each in found.values())
                found[name] = _vocabulary(walk, node, way, room)
            except UnusableVocabulary as exc:
                refused[name] = str(exc)
    return KnownWords(found, {name: why for name, why in refused.items() if name not in found})


def _graph_of(walk: Walk) -> tuple[list[_Node], set[str]]:
    """Return the nodes of the main graph, and the names of its inputs."""
    nodes: list[_Node] = []
    inputs: set[str] = set()
    for number, at, length in walk.fields("model", 0, len(walk.data)):
        if number != 7 or length < 0:
            continue
        for kind, start, size in walk.fields("graph", at, at + length):
            if kind == 1 and size >= 0:
                nodes.append(_node(walk, start, start + size))
                if len(nodes) > MOST_NODES:
                    return [], set()
            elif kind == 11 and size >= 0:
                inputs.update(_text(walk, a, n) for field_, a, n in walk.fields("input", start, start + size)
                              if field_ == 1 and n >= 0)  # fmt: skip
    return nodes, inputs


def _node(walk: Walk, start: int, end: int) -> _Node:
    found, sources = _Node(), list[str]()
    for number, at, length in walk.fields("node", start, end):
        if length < 0:
            continue
        if number == 1:
            sources.append(_text(walk, at, length))
        elif number == 2:
            found.outputs.append(_text(walk, at, length))
        elif number == 4:
            found.op = _text(walk, at, length)
        elif number == 5:
            found.attributes.append((at, at + length))
    found.source = sources[0] if sources else ""
    return found


def _way_back(node: _Node, makers: Mapping[str, _Node]) -> list[_Node]:
    """Return *node* and the nodes that hand texts to it, nearest first; the last one's source is their origin."""
    way = [node]
    while (before := makers.get(way[-1].source)) is not None and before.op in _PASSES and len(way) < len(makers):
        way.append(before)
    return way


def _vocabulary(walk: Walk, node: _Node, way: list[_Node], room: int) -> Vocabulary:
    """Return what *node* knows of texts that came this *way*, *room* words at most. Raises UnusableVocabulary."""
    expression, shortest, case = SKLEARN_TOKENS, 1, ""
    for each in way:
        if each.op == _CUTS:
            told = _attributes(walk, each, ("tokenexp", "mincharnum"))
            if "tokenexp" not in told:
                raise UnusableVocabulary("its texts are cut by separators, not by an expression")
            expression = told["tokenexp"].text
            shortest = told.get("mincharnum", _Attribute(number=1)).number
        elif each.op == _CASES:
            told = _attributes(walk, each, ("case_change_action",))
            case = case or _case(told.get("case_change_action", _Attribute()).text)
    return Vocabulary(_words(walk, node, room), expression, case, shortest)


def _case(action: str) -> str:
    return action.lower() if action in {"LOWER", "UPPER"} else ""


def _words(walk: Walk, node: _Node, room: int) -> frozenset[str]:
    """Return the single words of the pool: those up to where its pairs begin."""
    starts = _attributes(walk, node, ("ngram_counts",)).get("ngram_counts", _Attribute()).numbers
    first, last = (starts[0] if starts else 0), (starts[1] if len(starts) > 1 else None)
    pool = next((each for each in node.attributes if _name(walk, *each) == "pool_strings"), None)
    found: list[str] = []
    letters = place = 0
    for number, at, length in walk.fields("attribute", *pool) if pool is not None else ():
        if number != 9 or length < 0:
            continue
        if place >= first and (last is None or place < last):
            letters += length
            if len(found) >= room or letters > 4 * MOST_LETTERS:
                raise UnusableVocabulary(f"more than {MOST_WORDS} words, or {MOST_LETTERS} characters, are not kept")
            found.append(_text(walk, at, length))
        place += 1
    return frozenset(found)


def _attributes(walk: Walk, node: _Node, names: tuple[str, ...]) -> dict[str, _Attribute]:
    """Return those attributes of *node* that are called one of *names*."""
    return {name: _attribute(walk, *each) for each in node.attributes if (name := _name(walk, *each)) in names}


def _name(walk: Walk, start: int, end: int) -> str:
    return next((_text(walk, at, n) for number, at, n in walk.fields("attribute", start, end)
                 if number == 1 and n >= 0), "")  # fmt: skip


def _attribute(walk: Walk, start: int, end: int) -> _Attribute:
    """Return what a small attribute says; read as no ``attribute``, of which the numbers are hopped over."""
    found = _Attribute()
    for number, at, length in walk.fields("small attribute", start, end):
        if number == 3 and length < 0:
            found.number = at
        elif number == 4 and length >= 0:
            found.text = _text(walk, at, length)
        elif number == 8:
            found.numbers += [at] if length < 0 else walk.varints(at, at + length)
    return found


def _text(walk: Walk, at: int, length: int) -> str:
    return walk.data[at : at + length].decode("utf-8", "replace")
