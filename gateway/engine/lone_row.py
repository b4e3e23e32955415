"""Runs of one row of float32 through tensors that stay bound to the session.

A run that is handed its tensors by name hashes the names, wraps each tensor and makes new ones for the outputs. Here a
row and its outputs have their places, and what goes in and out is copied: between other work a small model takes
12.8 µs instead of 17.6. Everything else, and what another thread runs meanwhile, goes the ordinary way.

It is trusted only once it is proven: the first row runs both ways, from and into memory that was filled with something
else, and where one bit of the answers differs, or the runtime raises, that session never runs so again.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime

from gateway.core.signature import FREE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.signature import Signature, TensorSpec
    from gateway.ports.engine import Tensor

    Run = Callable[[Sequence[str], Mapping[str, Tensor], Any], list[Tensor]]
    Places = tuple[Any, Tensor, list[Tensor]]
    """The binding, the row and its outputs."""

logger = logging.getLogger(__name__)

MOST_ELEMENTS: Final = 4096
"""Of a row, or of one output: what is larger is not copied in vain."""

FLOAT32: Final = np.dtype(np.float32)

UNWRITTEN: Final = 0xA5
"""The byte that outputs are filled with before the proof."""


def has_lone_row(signature: Signature) -> bool:
    """Say whether one row of a version can run so: one input of float32, outputs whose sizes are known."""
    inputs, outputs = signature.inputs, signature.outputs
    return (
        len(inputs) == 1
        and inputs[0].datatype == "FP32"
        and all(map(_is_row, (*inputs, *outputs)))
        and not any(spec.datatype in ("BYTES", "BF16") for spec in outputs)
    )


def _is_row(spec: TensorSpec) -> bool:
    tail = spec.shape[1:]
    return spec.shape[:1] == (FREE,) and FREE not in tail and 0 < math.prod(tail) <= MOST_ELEMENTS


class LoneRow:
    """Runs one session. Threads may do so at the same time: one has the places, the others go the ordinary way."""

    def __init__(self, native: Any, signature: Signature, ordinary: Run) -> None:
        """*native*: onnxruntime's session, whose *signature* ``has_lone_row``; *ordinary*: what else runs it."""
        (spec,) = signature.inputs
        self._native = native
        self._ordinary = ordinary
        self._name = spec.name
        self._shape = (1, *spec.shape[1:])
        self._outputs = [each.name for each in signature.outputs]
        self._is_tried = False
        self._free: list[Places] = []
        """The places, where nobody has them and they are proven. Taken and given back in one step each."""

    def run(self, names: Sequence[str], feeds: Mapping[str, Tensor], options: Any) -> list[Tensor]:
        """Return all outputs, *names*, of *feeds*. Raises what the runtime raises."""
        feed = feeds.get(self._name)
        if feed is None or feed.shape != self._shape or feed.dtype is not FLOAT32:
            return self._ordinary(names, feeds, options)
        try:
            places = self._free.pop()
        except IndexError:
            answer = self._ordinary(names, feeds, options)
            if not self._is_tried:
                self._is_tried = True
                self._prove(feed, answer, options)
            return answer
        binding, row, outputs = places
        try:
            row[...] = feed
            self._native.run_with_iobinding(binding, options)
            answer = [output.copy() for output in outputs]
        except Exception:  # whatever it is, the ordinary way raises it too, or it is none of the model's
            return self._again(places, names, feeds, options)
        self._free.append(places)
        return answer

    def _again(self, places: Places, names: Sequence[str], feeds: Mapping[str, Tensor], options: Any) -> list[Tensor]:
        """Run *feeds* the ordinary way; where that raises too, the *places* are none the worse for it."""
        try:
            return self._ordinary(names, feeds, options)
        except Exception:
            self._free.append(places)
            raise

    def _prove(self, feed: Tensor, answer: Sequence[Tensor], options: Any) -> None:
        """Make the places, and keep them where *feed* is answered there as it was the ordinary way, with *answer*."""
        row = np.full(self._shape, np.nan, np.float32)
        outputs = [np.empty_like(each) for each in answer]
        for output in outputs:
            output.reshape(-1).view(np.uint8)[:] = UNWRITTEN
        try:
            binding = self._native.io_binding()
            binding.bind_ortvalue_input(self._name, onnxruntime.OrtValue.ortvalue_from_numpy(row))
            for name, output in zip(self._outputs, outputs, strict=True):
                binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(output))
            row[...] = feed
            self._native.run_with_iobinding(binding, options)
        except Exception:  # the seam, as in ``onnx``: there is no narrower class
            logger.debug("single rows of a session go the ordinary way", exc_info=True)
            return
        if all(mine.tobytes() == theirs.tobytes() for mine, theirs in zip(outputs, answer, strict=True)):
            self._free.append((binding, row, outputs))
