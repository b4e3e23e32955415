"""The data behind the shipped models, and the part of it that no model has seen.

A test or a benchmark asks `held_out` for rows with true labels, or `accuracy` for what a
model is worth on them, whichever way its answers are obtained.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tools.training import corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

TEST_SIZE: Final = 0.3
SEED: Final = 7

NAMES: Final = ("breast-cancer", "digits", "text-topics")
"""The shipped models; each has one data set, of the same name."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled rows: *inputs* [n, features] float32, or [n, 1] of str; *labels* [n] int64 or str.

    *classes* holds the labels in the order of a model's ``probabilities``, each with its meaning.
    """

    title: str
    source: str
    licence: str
    inputs: Array
    labels: Array
    classes: dict[Any, str]

    def digest(self) -> str:
        """Return the SHA-256, hexadecimal, of all inputs, then all labels: array bytes, or texts ended by newlines."""
        digest = hashlib.sha256()
        for array in (self.inputs, self.labels):
            digest.update(_bytes(array))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Split:
    """One data set in two parts that share no row."""

    train_inputs: Array
    train_labels: Array
    held_out_inputs: Array
    held_out_labels: Array


def _bytes(array: Array) -> bytes:
    return "".join(f"{text}\n" for text in array.ravel()).encode() if array.dtype == object else array.tobytes()


@cache
def dataset(name: str) -> Dataset:
    """Return the data set of the shipped model *name*. Raises KeyError for any other name."""
    return {"breast-cancer": _breast_cancer, "digits": _digits, "text-topics": _text_topics}[name]()


@cache
def split(name: str) -> Split:
    """Return the data set of *name* in two parts, shuffled by SEED; TEST_SIZE of each class is held out."""
    from sklearn.model_selection import train_test_split

    data = dataset(name)
    train, test = train_test_split(
        np.arange(len(data.labels)), test_size=TEST_SIZE, random_state=SEED, stratify=data.labels
    )
    return Split(data.inputs[train], data.labels[train], data.inputs[test], data.labels[test])


def held_out(name: str) -> tuple[Array, Array]:
    """Return the inputs, as the model takes them, and the true labels of the rows that *name* was not trained on."""
    parts = split(name)
    return parts.held_out_inputs, parts.held_out_labels


def accuracy(name: str, predict: Callable[[Array], Sequence[Any] | Array]) -> float:
    """Return the share of held-out rows of *name* whose label *predict* gets right.

    predict: all held-out inputs, [n, features], to n labels in the same order.
    """
    inputs, labels = held_out(name)
    answers = predict(inputs)
    if len(answers) != len(labels):
        raise ValueError(f"{len(answers)} labels came back for {len(labels)} rows of {name!r}")
    return sum(bool(answer == label) for answer, label in zip(answers, labels, strict=True)) / len(labels)


def _breast_cancer() -> Dataset:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    return Dataset(
        title="Breast Cancer Wisconsin (Diagnostic)",
        source="sklearn.datasets.load_breast_cancer; UCI Machine Learning Repository, doi:10.24432/C5DW2B",
        licence="CC-BY-4.0",
        inputs=bunch.data.astype(np.float32),
        labels=bunch.target.astype(np.int64),
        classes={0: "malignant", 1: "benign"},
    )


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Dataset(
        title="Optical Recognition of Handwritten Digits, test part",
        source="sklearn.datasets.load_digits; UCI Machine Learning Repository, doi:10.24432/C50P49",
        licence="CC-BY-4.0",
        inputs=bunch.data.astype(np.float32),
        labels=bunch.target.astype(np.int64),
        classes={digit: f"the digit {digit}" for digit in range(10)},
    )


def _text_topics() -> Dataset:
    texts, topics = corpus.read()
    return Dataset(
        title="Sentences from the docstrings of the Python standard library",
        source="tools/training/docstrings.tsv, made by tools/training/corpus.py",
        licence="PSF-2.0",
        inputs=np.array(texts, dtype=object).reshape(-1, 1),
        labels=np.array(topics, dtype=object),
        classes={topic: f"the text documents {topic}" for topic in sorted(corpus.TOPICS)},
    )
