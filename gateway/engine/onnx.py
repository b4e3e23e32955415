"""Versions in ONNX Runtime: built from a path, run by the execution providers they ask for.

The one place where the runtime's exceptions are caught: they have no common base and their texts
hold paths, so they are logged here and leave as ours. Never takes a model as bytes: building a
640 MB session from bytes stops the event loop for half a second.

``ORT_DISABLE_TELEMETRY=1`` must stand in the environment before this module is imported; the
launcher sees to that.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any, Final

import onnxruntime

from gateway.core.errors import InputRefused, InvalidModel, InvalidSettings, ModelFailed, RunStopped
from gateway.core.providers import CPU
from gateway.core.signature import FREE, Signature, TensorSpec
from gateway.engine import providers as execution
from gateway.engine.bfloat16_run import bfloat16_run
from gateway.engine.onnx_file import inspect
from gateway.engine.pool import with_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.engine.onnx_file import OnnxFacts
    from gateway.engine.pool import Pool
    from gateway.ports.engine import Tensor

logger = logging.getLogger(__name__)

MINIMUM_RUNTIME: Final = (1, 31)

DATATYPE_OF: Final = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
"""The runtime's type → the Open Inference Protocol's. The rest has no name there."""

MAX_DIMENSION: Final = 2**31 - 1
MAX_NAME: Final = 256

_FATAL: Final = 4
"""Errors reach us as exceptions. At severity 3 the runtime also writes each failed run to stderr, past the logging."""

_LOG_EVERY_SECONDS: Final = 1.0


RUNTIME_VERSION: Final[str] = onnxruntime.__version__


def runtime_name() -> str:
    """Return what builds the sessions, with its version."""
    return f"onnxruntime {RUNTIME_VERSION}"


class OnnxEngine:
    """The engine port over onnxruntime."""

    def __init__(self, runtime_version: str = RUNTIME_VERSION) -> None:
        """Raise InvalidSettings when the runtime is too old to build a session beside live traffic."""
        found = tuple(int(part) for part in re.findall(r"\d+", runtime_version)[:2])
        if found < MINIMUM_RUNTIME:
            raise InvalidSettings(
                f"onnxruntime {runtime_version} is installed and 1.31 or later is needed: older ones hold the "
                f"interpreter lock while a version loads, which stops all traffic. pip install 'onnxruntime>=1.31'"
            )

    def load(
        self, path: Path, *, model: str, version: int, threads: int, providers: Sequence[str] = (CPU,)
    ) -> OnnxSession:
        """Build a session from *path*. Blocks; raises InvalidModel."""
        facts = inspect(path)
        _refuse(facts)
        wanted = execution.native(providers)
        try:
            # The arena would keep the size of the largest text ever seen.
            native, pool = with_pool(
                lambda: _build(path, threads=threads, arena=not facts.has_text_input, providers=wanted), threads - 1
            )
            inputs = [(each.name, each.type, tuple(each.shape)) for each in native.get_inputs()]
            outputs = [(each.name, each.type, tuple(each.shape)) for each in native.get_outputs()]
        except Exception as exc:  # the seam: there is no narrower class that holds them all
            logger.warning("the runtime cannot load version %d of model %r", version, model, exc_info=True)
            raise _explain(exc) from None
        execution.check(native, providers)
        signature = Signature(
            tuple(_input(*each) for each in inputs), tuple(_spec("output", *each) for each in outputs)
        )
        _refuse_texts_beside_bfloat16(signature)
        return OnnxSession(native, signature, model=model, version=version, warning=_warning(facts), pool=pool)


class OnnxSession:
    """The session port over ``onnxruntime.InferenceSession``. Threads may run it at the same time."""

    __slots__ = (
        "_arity", "_log_after", "_model", "_native", "_options", "_outputs", "_pool", "_run", "_version", "signature",
        "warning",
    )  # fmt: skip

    def __init__(
        self, native: Any, signature: Signature, *, model: str, version: int, warning: str = "", pool: Pool = ()
    ) -> None:
        self.signature = signature
        self.warning = warning
        self._native = native
        self._pool = pool
        self._run = _bare_run(native, signature)
        self._options = onnxruntime.RunOptions()
        self._outputs = [spec.name for spec in signature.outputs]
        self._arity = len(signature.inputs)
        self._model = model
        self._version = version
        self._log_after = 0.0

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        """Return all outputs in the signature's order. Raises ModelFailed, InputRefused among it, and RunStopped."""
        if len(feeds) != self._arity:  # unknown names the runtime refuses itself; a missing one it would dereference
            raise ModelFailed(self._model, self._version, f"{len(feeds)} of {self._arity} inputs were given")
        options = self._options
        try:
            return self._run(self._outputs, feeds, options)
        except Exception as exc:  # the seam: there is no narrower class that holds them all
            if options.terminate:
                raise RunStopped(self._model, self._version) from None
            self._log()
            kind = InputRefused if type(exc).__name__ == "InvalidArgument" else ModelFailed
            raise kind(self._model, self._version, "the runtime could not run it on this input") from None

    def stop(self) -> None:
        """End the runs under way. Any thread; an operator that has begun is finished first, however long it takes.

        Later runs have options of their own: those that were terminated stay so, also where the run was over by then.
        """
        stopped, self._options = self._options, onnxruntime.RunOptions()
        stopped.terminate = True

    def pool_seconds(self) -> float:
        return sum(map(time.clock_gettime, self._pool)) if self._pool else 0.0

    def _log(self) -> None:
        """Log the exception being handled, at most once a second: a failing canary must not fill the disk."""
        now = time.monotonic()
        if now >= self._log_after:
            self._log_after = now + _LOG_EVERY_SECONDS
            logger.warning("version %d of model %r failed", self._version, self._model, exc_info=True)


def _build(path: Path, *, threads: int, arena: bool, providers: list[tuple[str, dict[str, str]]]) -> Any:
    """Return the runtime's session; raises whatever the runtime raises."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = _FATAL
    options.enable_cpu_mem_arena = arena
    native = onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    native.disable_fallback()
    return native


def _bare_run(native: Any, signature: Signature) -> Callable[[Sequence[str], Mapping[str, Tensor], Any], list[Tensor]]:
    """Return the run of the C++ session where it can be reached: the one around it takes 2 µs for checks we made."""
    inner = getattr(native, "_sess", native)
    if any(spec.datatype == "BF16" for spec in (*signature.inputs, *signature.outputs)):
        return bfloat16_run(inner, signature)
    run: Callable[[Sequence[str], Mapping[str, Tensor], Any], list[Tensor]] = inner.run
    return run


def _warning(facts: OnnxFacts) -> str:
    """Return what an operator should know of a graph that is served all the same."""
    if not facts.divisions:
        return ""
    named = ", ".join(facts.divisions[:3]) + (" …" if len(facts.divisions) > 3 else "")
    return (
        f"an integer division by a value from the input can crash the worker ({named}); "
        f"clip the divisor to positive numbers, or divide as floats"
    )


def _refuse(facts: OnnxFacts) -> None:
    """Raise InvalidModel for what must not reach the runtime, or what it would take for something else."""
    if facts.has_external_data:
        raise InvalidModel(
            "external_data",
            "the weights are kept outside the file; save it whole: onnx.save(model, path, save_as_external_data=False)",
        )
    if facts.has_negative_dimension:
        raise InvalidModel("bad_model", "an input or output has a negative dimension; give a free one a name instead")
    if facts.has_unranked_input:
        raise InvalidModel("unsupported", "an input declares no shape; declare one, with names for the free dimensions")


def _refuse_texts_beside_bfloat16(signature: Signature) -> None:
    """Raise InvalidModel for inputs that the runtime takes in no one call: texts from numpy, bfloat16 never so."""
    kinds = {spec.datatype for spec in signature.inputs}
    if "BYTES" in kinds and "BF16" in kinds | {spec.datatype for spec in signature.outputs}:
        raise InvalidModel(
            "unsupported",
            "it takes texts and has a tensor of bfloat16, which onnxruntime does not run together; "
            "cast to and from float inside the graph",
        )


def _input(name: str, kind: str, shape: tuple[Any, ...]) -> TensorSpec:
    """Return the specification of an input, which in contrast to an output cannot be empty."""
    spec = _spec("input", name, kind, shape)
    if 0 in spec.shape:
        raise InvalidModel("bad_model", f"input {name!r} has a dimension of 0; give a free one a name instead")
    return spec


def _spec(role: str, name: str, kind: str, shape: tuple[Any, ...]) -> TensorSpec:
    """Return the specification of a tensor; named and unknown dimensions are FREE."""
    if len(name) > MAX_NAME:
        raise InvalidModel("bad_model", f"the name of an {role} is longer than {MAX_NAME} characters")
    datatype = DATATYPE_OF.get(kind)
    if datatype is None:
        advice = "only tensors of the Open Inference Protocol's datatypes can be served"
        if kind.startswith("seq(map("):
            advice = "convert the classifier with the option zipmap=False, so that probabilities come out as a tensor"
        raise InvalidModel("unsupported", f"{role} {name!r} is a {kind}; {advice}")
    sizes = tuple(size if isinstance(size, int) else FREE for size in shape)
    if any(size > MAX_DIMENSION for size in sizes):
        raise InvalidModel("bad_model", f"{role} {name!r} has a dimension over {MAX_DIMENSION}")
    return TensorSpec(name, datatype, sizes, tuple(size if isinstance(size, str) else "" for size in shape))


_UNSUPPORTED: Final = (
    re.compile(r"No Op registered for (?P<what>\w{1,64}) "),
    re.compile(r"(?P<what>[\w.]{1,64}:\w{1,64})\(-?\d+\) is not a registered function/op"),
    re.compile(r"Could not find an implementation for (?P<what>\w{1,64}\(\d+\))"),
    re.compile(r"No opset import for domain '(?P<what>[\w.]{1,64})'"),
    re.compile(r"(?P<what>Opset \d+) is under development"),
    re.compile(r"Unsupported model (?P<what>IR version: \d+)"),
)
"""The runtime's words for "valid, and not for me", with the part that is safe and useful to repeat."""


def _explain(exc: Exception) -> InvalidModel:
    """Return our error for what the runtime raised while building a session."""
    text = str(exc)
    if isinstance(exc, MemoryError) or "bad_alloc" in text or "Failed to allocate memory" in text:
        return InvalidModel("no_memory", "there is not enough memory to load it")
    if "external data" in text.lower():
        return InvalidModel("external_data", "the weights are kept outside the file; save it whole")
    for pattern in _UNSUPPORTED:
        if found := pattern.search(text):
            return InvalidModel(
                "unsupported",
                f"onnxruntime {RUNTIME_VERSION} does not support {found['what']}; "
                f"convert the model for an older opset, or without that operator",
            )
    if type(exc).__name__ == "NotImplemented":
        return InvalidModel("unsupported", "it uses an operator that this onnxruntime has no implementation for")
    return InvalidModel("bad_model", f"the runtime refused the graph ({type(exc).__name__}); the log says why")
