"""What a model may be called, and how its versions are numbered."""

from __future__ import annotations

import re
from typing import Final

MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
"""One path segment, never joined into a path unchecked. ``stats`` would collide with ``/v2/models/stats``."""

RESERVED: Final = frozenset({"stats"})

VERSION_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def is_model_name(text: str) -> bool:
    """Say whether *text* may name a model."""
    return MODEL_NAME.fullmatch(text) is not None and text not in RESERVED


def why_no_model_name(text: str) -> str:
    """Return what is wrong with *text* as the name of a model, as the end of a sentence that begins with it."""
    if text in RESERVED:
        return f"is no model name: /v2/models/{text} is a path of the inference port; rename the model"
    return "is no model name; use up to 63 letters, digits, dots, hyphens and underscores, a letter or digit first"


def version_number(text: str) -> int | None:
    """Return the version that *text* writes in decimal without leading zeros, or None."""
    return int(text) if VERSION_NUMBER.fullmatch(text) else None
