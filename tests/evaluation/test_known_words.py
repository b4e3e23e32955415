"""An evaluation leaves how much of its texts a model knows, or says why it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.reference import read_reference
from gateway.evaluation.asking import Asked, ask
from tests.engine.graphs import FLOAT, STRING, graph, node, value

if TYPE_CHECKING:
    from pathlib import Path


def asked(directory: Path, words: list[str], starts: list[int]) -> Asked:
    counts: Any = node(
        "TfIdfVectorizer", ["text"], ["y"], mode="TF", min_gram_length=len(starts), max_gram_length=len(starts),
        max_skip_count=0, ngram_counts=starts, ngram_indexes=[0], pool_strings=words,
    )  # fmt: skip
    path = directory / "model.onnx"
    path.write_bytes(graph(counts, inputs=[value("text", STRING, ("n", 1))], outputs=[value("y", FLOAT, ("n", 1))]))
    texts = np.array(["open", "open the door", "???"], object)
    return ask(path, {"text": texts}, called="notes/1", seconds=30)


@pytest.mark.timeout(60)
def test_the_known_share_of_every_text_is_in_the_reference(tmp_path: Path) -> None:
    found = asked(tmp_path, ["open"], [0])

    column = read_reference(found.reference).column("text vocabulary")
    assert column is not None
    assert (column.counts, found.notes) == ((0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1), ())


@pytest.mark.timeout(60)
def test_words_that_are_not_watched_are_said_with_the_reason(tmp_path: Path) -> None:
    found = asked(tmp_path, ["open", "door"], [0, 0])

    assert read_reference(found.reference).column("text vocabulary") is None
    assert found.notes == (
        "the words of 'text' are not watched for drift: it knows no single words, only groups of them",
    )
