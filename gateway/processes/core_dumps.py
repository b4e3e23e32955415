"""No core dumps: they would hold keys of TLS, tokens on their way in, and what callers sent."""

from __future__ import annotations

import resource
from typing import Final

NONE: Final = 1
"""Bytes. With 0 the kernel still hands a dump to a program that ``core_pattern`` names; with 1 it does not, and into a
file fits no dump of 1 byte. Source: core(5); do_coredump in fs/coredump.c of Linux."""


def forbid_core_dumps() -> None:
    """Have neither this process nor its children leave a core dump.

    The hard limit stays, for whoever hunts a crash: ``prlimit --core=unlimited --pid PID``.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (NONE if hard == resource.RLIM_INFINITY else min(NONE, hard), hard))
