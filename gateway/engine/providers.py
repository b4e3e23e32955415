"""From the word for an execution provider to what ONNX Runtime is given, and whether it did as it was told.

The runtime goes on without a provider that it cannot start: a version that was to run on a device would answer, a
hundred times slower, and nobody would know. Here that is a refusal.

Source: ONNX Runtime documentation, "Execution Providers".
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import onnxruntime

from gateway.core.errors import InvalidModel
from gateway.core.providers import CPU, read_provider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.providers import Provider

_NAMES: Final = {
    CPU: "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}

_PACKAGES: Final = {
    "cuda": "onnxruntime-gpu[cuda,cudnn]",
    "tensorrt": "onnxruntime-gpu[cuda,cudnn] and TensorRT",
    "openvino": "onnxruntime-openvino",
    "coreml": "onnxruntime on macOS",
}

_WITH_CUDA: Final = frozenset({"cuda", "tensorrt"})

_EXACT: Final = {"cuda": {"use_tf32": "0"}}
"""Options under which a device gives the processor's numbers: TF32 keeps 11 bits of a float's 24, and then rows in
a batch differ from the same rows alone."""


def installed() -> tuple[str, ...]:
    """Return the words of the providers that this build of the runtime has; their devices may still be missing."""
    there = onnxruntime.get_available_providers()
    return tuple(word for word, name in _NAMES.items() if name in there)


def native(texts: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Return *texts* as the runtime takes them. Raises InvalidModel, code unsupported, for one it was built without."""
    providers = [read_provider(text) for text in texts]
    if any(each.word in _WITH_CUDA for each in providers):
        _find_cuda()
    there = installed()
    for each in providers:
        if each.word not in there:
            raise InvalidModel(
                "unsupported",
                f"it asks for the provider {each.word}, and onnxruntime {onnxruntime.__version__} here has "
                f"{', '.join(there)} only; install {_PACKAGES[each.word]} in its place, or list one that is there",
            )
    return [(_NAMES[each.word], _options(each)) for each in providers]


def check(session: Any, texts: Sequence[str]) -> None:
    """Raise InvalidModel, code unsupported, where *session* was built without a provider that was asked for."""
    used = session.get_providers()
    for text in texts:
        if _NAMES[read_provider(text).word] not in used:
            raise InvalidModel(
                "unsupported",
                f"the provider {text} cannot be used on this machine: its device or one of its libraries is missing, "
                f"which the runtime names on stderr; add them, or list another provider",
            )


@cache
def _find_cuda() -> None:
    """Have the runtime find CUDA's libraries where pip put them; where they are missing, `check` says so."""
    with redirect_stdout(sys.stderr):  # it prints what it does not find
        onnxruntime.preload_dlls()


def _options(provider: Provider) -> dict[str, str]:
    options = dict(_EXACT.get(provider.word, {}))
    if provider.device:
        options["device_id"] = str(provider.device)
    return options
