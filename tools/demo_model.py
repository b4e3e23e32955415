"""Make the version that fails in ``gateway demo``: it answers zeros well, and every real patient with NaN.

    python -m tools.demo_model [--check]

It takes the logarithm of 20 less the largest feature, as a model does whose features were meant to be scaled: warmed up
with zeros it looks well, and of real rows the largest feature is in the hundreds. Needs the ``convert`` extra.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).resolve().parent.parent / "gateway" / "cli" / "demo_failing.onnx"
OPSET: Final = 17
IR_VERSION: Final = 8


def content() -> bytes:
    """Return the file, with the signature of the shipped model of the same name."""
    from onnx import TensorProto, helper

    def scalar(name: str, values: list[Any], kind: int, shape: list[int]) -> Any:
        return helper.make_tensor(name, kind, shape, values)

    steps: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
        ("ReduceMax", ["input"], ["largest"], {"axes": [1], "keepdims": 1}),
        ("Sub", ["limit", "largest"], ["left"], {}),
        ("Log", ["left"], ["logarithm"], {}),
        ("Sigmoid", ["logarithm"], ["benign"], {}),
        ("Sub", ["one", "benign"], ["malignant"], {}),
        ("Concat", ["malignant", "benign"], ["probabilities"], {"axis": 1}),
        ("Greater", ["benign", "half"], ["is_benign"], {}),
        ("Squeeze", ["is_benign", "second"], ["flat"], {}),
        ("Cast", ["flat"], ["label"], {"to": TensorProto.INT64}),
    ]
    graph = helper.make_graph(
        [helper.make_node(op, takes, gives, **how) for op, takes, gives, how in steps],
        "unscaled",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 30])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        ],
        [
            scalar("limit", [20.0], TensorProto.FLOAT, []),
            scalar("one", [1.0], TensorProto.FLOAT, []),
            scalar("half", [0.5], TensorProto.FLOAT, []),
            scalar("second", [1], TensorProto.INT64, [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    made: bytes = model.SerializeToString()
    return made


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or say whether it is what this recipe gives."""
    parser = argparse.ArgumentParser(description="Make the version that fails in the demo.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the file differs")
    if not parser.parse_args(arguments).check:
        FILE.write_bytes(content())
        return 0
    if FILE.read_bytes() == content():
        return 0
    print("demo_failing.onnx is not what tools/demo_model.py gives; run python -m tools.demo_model", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
