"""The confined process that turns a TensorFlow SavedModel into ONNX by tf2onnx, and asks it the sample itself.

Run as ``python -m gateway.convert.savedmodel_child DIRECTORY``. A SavedModel is a program: what it does happens here.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from gateway.convert import messages
from gateway.convert.errors import CannotConvert
from gateway.convert.following import follow_order
from gateway.convert.messages import Order, Report
from gateway.convert.samples import read_sample
from gateway.convert.savedmodel_answers import SIGNATURE, original_answers

OPSET: Final = 18
"""The newest that tf2onnx 1.16 and later write."""

LIBRARIES: Final = ("tensorflow", "tensorflow-cpu", "tf2onnx", "onnx", "numpy")


def _convert(scratch: Path, order: Order, held: list[str]) -> Report:
    """Leave the graph of the signature in *scratch*, and what TensorFlow answers to the sample if there is one."""
    try:
        from tf2onnx import convert
    except ImportError as exc:
        raise CannotConvert(
            f"a SavedModel is converted by tf2onnx and TensorFlow, and {exc.name} is not installed; install both with: "
            f"pip install tf2onnx tensorflow-cpu, or export the model as ONNX where it was trained"
        ) from None
    sys.argv = [
        "tf2onnx", "--saved-model", str(scratch / order.model), "--output", str(scratch / messages.GRAPH),
        "--signature_def", SIGNATURE, "--opset", str(OPSET),
    ]  # fmt: skip
    try:
        convert.main()
    except (Exception, SystemExit) as exc:  # the seam: what the model or the converter may raise is not known
        raise CannotConvert(
            f"tf2onnx cannot convert it: {type(exc).__name__}: {str(exc).partition(chr(10))[0][:500]}"
        ) from exc
    if order.sample:
        sample = read_sample(scratch / order.sample)
        messages.write_answers(scratch, original_answers(scratch / order.model, sample))
    return Report(held=held, kind="savedmodel", libraries=_libraries())


def _libraries() -> dict[str, str]:
    """Return the versions of what took part."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(follow_order(Path(sys.argv[1]), _convert))
