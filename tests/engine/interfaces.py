"""Versions that compute the same, and are called otherwise: another name, order and type for everything."""

from __future__ import annotations

from typing import Final

from tests.engine.graphs import FLOAT, INT64, KINDS, graph, node, value, weights

ADAPTER: Final = """adapter:
  requests:
    rename: {age: years, x: features}
    cast: {age: FP32}
    reorder: {x: [2, 0, 1]}
  responses:
    rename: {score: risk}
    cast: {score: FP32}
"""
"""The metadata with which callers of `old` are served by `new`, its columns shuffled."""


def old() -> bytes:
    """score = x + age."""
    return graph(
        node("Add", ["x", "age"], ["score"]),
        inputs=[value("age", shape=("n", 1)), value("x", shape=("n", 3))],
        outputs=[value("score", shape=("n", 3))],
    )


def new(*, shuffled: bool) -> bytes:
    """risk = features + years, in double precision; *shuffled*: the features begin with the last one."""
    return graph(
        node("Cast", ["features"], ["wide"], to=KINDS["FP64"]),
        node("Gather", ["wide", "order"], ["sorted"], axis=1),
        node("Add", ["sorted", "years"], ["risk"]),
        inputs=[value("features", FLOAT, ("n", 3)), value("years", KINDS["FP64"], ("n", 1))],
        outputs=[value("risk", KINDS["FP64"], ("n", 3))],
        tensors=[weights("order", [1, 2, 0] if shuffled else [0, 1, 2], [3], INT64)],
    )
