"""The states of a version, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.core.signature import Signature


WHOLE_MODEL: Final = 0
"""Stands in an order for the model and all its versions; no version has this number."""


class VersionState(StrEnum):
    """Where a version stands in one worker. The words are those of the repository extension's index."""

    UNAVAILABLE = "UNAVAILABLE"
    """Known and not loaded: unloaded by an operator, or not routed under ``--load routed``; the reason says which."""
    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    """Draining: gone from the table, finishing the requests that hold it."""
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """What one worker says of one version. *reason* is empty for READY.

    *digest* is the SHA-256 of the file, hexadecimal, once it was read; *signature* is known from READY on.
    """

    model: str
    version: int
    state: VersionState
    reason: str = ""
    digest: str = ""
    signature: Signature | None = None
    note: str = ""
    """What an operator should know of a READY version, such as why its requests are not batched."""
    memory_bytes: int = 0
    """What it takes of memory in one worker, as measured when it was tried; 0 unless it is loaded, and was tried."""
