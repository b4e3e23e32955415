"""What a version may be run by: the words for ONNX Runtime's execution providers, in settings and in metadata.

A list says which is asked first for each part of a graph; the processor always takes what no other can.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

CPU: Final = "cpu"

WORDS: Final = (CPU, "cuda", "tensorrt", "openvino", "coreml")

_WITH_DEVICE: Final = frozenset({"cuda", "tensorrt"})
"""Those of which a machine may have several, by number."""

_WRITTEN: Final = re.compile(r"([a-z]{1,16})(?::([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True)
class Provider:
    """One execution provider: its *word*, and the number of its *device*, 0 where there is one only."""

    word: str = CPU
    device: int = 0


def read_provider(text: str) -> Provider:
    """Return what *text*, such as ``cuda`` or ``cuda:1``, names. Raises ValueError saying what may stand there."""
    found = _WRITTEN.fullmatch(text)
    if found is None or found[1] not in WORDS:
        raise ValueError(f"must name one of {', '.join(WORDS)}")
    if found[2] is not None and found[1] not in _WITH_DEVICE:
        raise ValueError(f"must give a number to {' or '.join(sorted(_WITH_DEVICE))} only")
    return Provider(found[1], int(found[2] or 0))


def read_providers(texts: Iterable[str]) -> tuple[str, ...]:
    """Return *texts* as they are, each found to name a provider, and none twice. Raises ValueError."""
    given = tuple(texts)
    words = [read_provider(text).word for text in given]
    if len(set(words)) != len(words):
        raise ValueError("must name each provider once")
    return given


def use_the_processor_only(texts: Iterable[str]) -> bool:
    """Say whether no provider in *texts* has memory or an address space of its own."""
    return all(read_provider(text).word == CPU for text in texts)
