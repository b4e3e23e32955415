"""Which words are read from which graphs, how they say that texts are cut, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.errors import InvalidModel
from gateway.core.vocabulary import MOST_WORDS, SKLEARN_TOKENS, KnownWords, Vocabulary
from gateway.engine.vocabulary import vocabularies_in
from tests.engine.graphs import STRING, graph, identity, node, value

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("open", "file", "über")


def counts(source: str, words: Any = WORDS, starts: Any = (0,), name: str = "y") -> Any:
    return node(
        "TfIdfVectorizer", [source], [name], mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0,
        ngram_counts=list(starts), ngram_indexes=list(range(len(words))), pool_strings=list(words),
    )  # fmt: skip


def cut(source: str, name: str, **attributes: Any) -> Any:
    return node("Tokenizer", [source], [name], domain="com.microsoft", mark=0, pad_value="#", **attributes)


def read(directory: Path, *nodes: Any, inputs: Any = ("text",)) -> KnownWords:
    path = directory / "model.onnx"
    path.write_bytes(graph(*nodes, inputs=[value(name, STRING, ("n", 1)) for name in inputs], outputs=[value("y")]))
    return vocabularies_in(path)


def test_a_graph_as_skl2onnx_writes_it_says_its_words_and_how_texts_are_cut(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        node("Reshape", ["text", "shape"], ["a"]),
        node("StringNormalizer", ["a"], ["b"], case_change_action="LOWER", locale="C", is_case_sensitive=0),
        cut("b", "c", tokenexp="[a-z0-9]+", mincharnum=2),
        node("Flatten", ["c"], ["d"]),
        counts("d"),
    )

    assert found == KnownWords({"text": Vocabulary(frozenset(WORDS), "[a-z0-9]+", "lower", 2)}, {})


def test_a_graph_that_does_not_say_how_is_cut_as_scikit_learn_does(tmp_path: Path) -> None:
    found = read(tmp_path, node("StringNormalizer", ["text"], ["b"], case_change_action="NONE"), counts("b"))

    assert found.vocabularies == {"text": Vocabulary(frozenset(WORDS), SKLEARN_TOKENS)}


def test_of_words_and_groups_of_them_the_words_are_taken(tmp_path: Path) -> None:
    found = read(tmp_path, counts("text", ("open", "file", "open", "file"), (0, 2)))

    assert found.vocabularies["text"].words == {"open", "file"}


def test_every_input_has_its_own_words_and_the_first_that_can_be_used(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        cut("title", "a", separators=[" "]), counts("a", name="t"),
        counts("title", ("bee",), name="u"), counts("title", ("ant",), name="v"), counts("body", ("cat",)),
        inputs=("title", "body"),
    )  # fmt: skip

    assert {name: set(each.words) for name, each in found.vocabularies.items()} == {"title": {"bee"}, "body": {"cat"}}
    assert found.refused == {}


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([cut("text", "a", separators=[" "]), counts("a")], "cut by separators"),
        ([cut("text", "a", tokenexp="(a+)+"), counts("a")], "not cut by"),
        ([counts("text", ("open", "file"), (0, 0))], "no single words"),
        ([node("TfIdfVectorizer", ["text"], ["y"])], "no single words"),
        ([counts("text", tuple(map(str, range(MOST_WORDS + 1))))], "not kept"),
        ([counts("text", ("x" * 5_000_000,))], "not kept"),
    ],
)
def test_words_that_cannot_be_counted_are_none_and_the_reason_is_said(
    tmp_path: Path, nodes: list[Any], why: str
) -> None:
    found = read(tmp_path, *nodes)

    assert found.vocabularies == {}
    assert why in found.refused["text"]


def test_all_inputs_together_have_so_many_words(tmp_path: Path) -> None:
    half = tuple(map(str, range(MOST_WORDS * 2 // 3)))

    found = read(tmp_path, counts("title", half, name="t"), counts("body", half), inputs=("title", "body"))

    assert [*found.vocabularies] == ["title"]
    assert "not kept" in found.refused["body"]


def test_words_of_what_is_no_input_and_of_texts_that_were_changed_are_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, node("StringConcat", ["text", "text"], ["a"]), counts("a"), counts("nowhere", name="z"))

    assert found == KnownWords({}, {})


def test_nodes_that_feed_each_other_end_the_search(tmp_path: Path) -> None:
    ring = node("Identity", ["a"], ["b"]), node("Identity", ["b"], ["a"])

    assert read(tmp_path, *ring, counts("a")).vocabularies == {}


def test_a_model_without_words_has_none_and_a_broken_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(identity())
    assert vocabularies_in(path) == KnownWords({}, {})

    path.write_bytes(identity()[:-3])
    with pytest.raises(InvalidModel, match="not an ONNX model"):
        vocabularies_in(path)
