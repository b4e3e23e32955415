"""Small changes to a converted graph: its outputs' names, its opsets, and one input per column.

A value is known by its name only, so a rename reaches every node that reads it, those in subgraphs too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.convert.errors import CannotConvert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def state_each_domain_once(model: Any) -> None:
    """Drop what the converter may write twice: the opset of a domain."""
    domains = {opset.domain: opset for opset in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(domains[domain] for domain in sorted(domains))


def take_maps_apart(model: Any) -> None:
    """Answer the tensor of probabilities where the converter wrapped it into a list of maps, which nobody can serve."""
    from onnx import TensorProto, helper

    graph = model.graph
    for node in [each for each in graph.node if each.op_type == "ZipMap"]:
        (output,) = [each for each in graph.output if each.name == node.output[0]]
        classes = next(len(each.ints) or len(each.strings) for each in node.attribute if each.name.startswith("class"))
        output.CopyFrom(helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, [None, classes]))
        graph.node.remove(node)


def name_inputs(model: Any, names: Sequence[str]) -> None:
    """Give the inputs *names*, in order: the converter writes ``mean radius`` as ``mean_radius``."""
    graph = model.graph
    if len(graph.input) != len(names):
        raise CannotConvert(f"the converter gave {len(graph.input)} inputs for {len(names)} columns")
    given = {each.name: name for each, name in zip(graph.input, names, strict=True)}
    _rename(graph, {**_out_of_the_way(graph, names, given), **given})


def name_outputs(model: Any, names: Sequence[str]) -> None:
    """Give the outputs *names*, in order, and drop those beyond; ``label`` becomes [n], whatever it was.

    Raises CannotConvert where there are too few, or where an input has such a name.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    outputs = list(graph.output)[: len(names)]
    if len(outputs) < len(names):
        raise CannotConvert(f"the converter gave {len(outputs)} outputs where {', '.join(names)} were expected")
    if taken := sorted({each.name for each in graph.input} & set(names)):
        raise CannotConvert(f"the column {taken[0]!r} has the name of an output; rename it in the sample and fit again")
    _rename(graph, _out_of_the_way(graph, names, {}))
    kept = [(each.name, each.type.tensor_type) for each in list(graph.output)[: len(names)]]
    del graph.output[:]
    for name, (source, tensor) in zip(names, kept, strict=True):
        if name == "label":
            graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "gateway_one_axis"))
            graph.node.append(helper.make_node("Reshape", [source, "gateway_one_axis"], [name], name="shape_label"))
            graph.output.append(helper.make_tensor_value_info(name, tensor.elem_type, [None]))
        else:
            graph.node.append(helper.make_node("Identity", [source], [name], name=f"name_{name}"))
            shape = [each.dim_value or None for each in tensor.shape.dim]
            graph.output.append(helper.make_tensor_value_info(name, tensor.elem_type, shape))


def join_inputs(model: Any, joined: str, names: Sequence[str]) -> None:
    """Replace the input *joined*, [n, columns], by one input [n, 1] per name, joined inside the graph."""
    from onnx import helper

    graph = model.graph
    (old,) = [each for each in graph.input if each.name == joined]
    kind = old.type.tensor_type.elem_type
    _rename(graph, _out_of_the_way(graph, names, {}))
    graph.input.remove(old)
    graph.input.extend(helper.make_tensor_value_info(name, kind, [None, 1]) for name in names)
    graph.node.insert(0, helper.make_node("Concat", list(names), [joined], name="join_columns", axis=1))


def _out_of_the_way(graph: Any, names: Sequence[str], renamed: Mapping[str, str]) -> dict[str, str]:
    """Return new names for the values, other than the *renamed* ones, that have one of *names* already."""
    return {name: f"{name}_inner" for name in names if name in _values(graph) and name not in renamed}


def _values(graph: Any) -> set[str]:
    """Return the name of every value in the graph itself."""
    made = {name for node in graph.node for name in (*node.input, *node.output)}
    return made | {each.name for each in (*graph.initializer, *graph.input, *graph.output)}


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Give values new names, wherever they are made, kept or read."""
    for each in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        each.name = names.get(each.name, each.name)
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                _rename(inner, names)
