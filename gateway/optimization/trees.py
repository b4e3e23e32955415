"""The first trees of an ensemble, without the rest.

Boosted trees correct one another in order, so the last ones add least. A forest's trees vote alike: what stays is
scaled, so that the votes still add up to one.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.engine.rewriting import CannotRewrite

ENSEMBLES: Final = {"TreeEnsembleClassifier": "class", "TreeEnsembleRegressor": "target"}
"""Operator → what the attributes of its leaves begin with."""


def prune_trees(model: Any, keep: int) -> int:
    """Leave the first *keep* trees of each ensemble in *model*, an ONNX graph; return how many went.

    Raises CannotRewrite where there is no ensemble, it has no more trees, or the classes would lose unequally many.
    """
    nodes = [node for node in model.graph.node if node.op_type in ENSEMBLES]
    if not nodes:
        held = ", ".join(sorted({node.op_type for node in model.graph.node}))
        raise CannotRewrite(f"it has no tree ensemble that could lose trees, but {held}")
    return sum(_prune(node, keep) for node in nodes)


def _prune(node: Any, keep: int) -> int:
    from onnx import helper

    found = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    trees = list(dict.fromkeys(found["nodes_treeids"]))
    if keep >= len(trees):
        raise CannotRewrite(f"its ensemble has {len(trees)} trees, so keeping {keep} removes none; keep fewer")
    kept = set(trees[:keep])
    leaf = ENSEMBLES[node.op_type]
    _refuse_unequal(found, leaf, kept)
    stays = {"nodes_": [each in kept for each in found["nodes_treeids"]],
             f"{leaf}_": [each in kept for each in found[f"{leaf}_treeids"]]}  # fmt: skip
    for name, value in found.items():
        which = next(
            (stay for start, stay in stays.items() if name.startswith(start) and _per_entry(value, stay)), None
        )
        if which is not None:
            found[name] = [each for each, stay in zip(value, which, strict=True) if stay]
    if _is_forest(found):
        scale = len(trees) / keep
        found[f"{leaf}_weights"] = [each * scale for each in found[f"{leaf}_weights"]]
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in found.items())
    return len(trees) - keep


def _per_entry(value: Any, stay: list[bool]) -> bool:
    return isinstance(value, list) and len(value) == len(stay)


def _refuse_unequal(found: dict[str, Any], leaf: str, kept: set[int]) -> None:
    """Refuse to cut inside a round: where each tree is of one class, every class keeps as many trees."""
    classes: dict[int, set[int]] = {}
    for tree, number in zip(found[f"{leaf}_treeids"], found[f"{leaf}_ids"], strict=True):
        classes.setdefault(tree, set()).add(number)
    every = set().union(*classes.values())
    if len(every) < 2 or any(len(each) > 1 for each in classes.values()):
        return
    left = [sum(1 for tree in kept if classes.get(tree) == {number}) for number in every]
    if len(set(left)) > 1:
        raise CannotRewrite(f"its trees come in rounds of {len(every)}, one per class; keep a multiple of {len(every)}")


def _is_forest(found: dict[str, Any]) -> bool:
    """Say whether the trees' answers are shares of a mean: a plain sum, from nothing, taken as it is."""
    return (
        not any(found.get(name) for name in ("base_values", "base_values_as_tensor"))
        and found.get("post_transform", b"NONE") == b"NONE"
        and found.get("aggregate_function", b"SUM") == b"SUM"
    )
