"""Tags: what people say of a version after it was published, such as ``stage=production``.

A tag is a key and a text. Pure; where tags lie is `gateway.models.tags`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

KEY: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?", re.ASCII)
MAX_CHARACTERS: Final = 256
"""Of a value."""
MAX_TAGS: Final = 64
"""Of one version."""


class InvalidTag(ValueError):
    """A tag cannot be written like this, is not there, or is one too many."""


def read_tag(text: str) -> tuple[str, str]:
    """Return the key and the value that *text* writes, ``KEY=VALUE``. Raises InvalidTag."""
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidTag(f"{text!r} is no tag; write KEY=VALUE, such as stage=production")
    return check_tag(key, value)


def check_tag(key: str, value: object) -> tuple[str, str]:
    """Return *key* and *value* as they are, where they may be a tag. Raises InvalidTag."""
    if KEY.fullmatch(key) is None:
        raise InvalidTag(
            f"{key!r} is no key of a tag; use up to 63 letters, digits, '.', '_', '/' and '-', "
            f"a letter or digit first and last"
        )
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS or not value.isprintable():
        raise InvalidTag(f"the value of the tag {key!r} must be one line of at most {MAX_CHARACTERS} characters")
    return key, value


def change(tags: Mapping[str, str], setting: Mapping[str, str], removing: Collection[str]) -> dict[str, str]:
    """Return *tags* with those of *setting* set and those of *removing* gone, sorted by key.

    Raises InvalidTag for a key that is to be removed and is not there, or is also to be set, and for too many tags.
    """
    for key in removing:
        if key in setting:
            raise InvalidTag(f"the tag {key!r} is to be set and removed at once; say one of the two")
        if key not in tags:
            raise InvalidTag(f"there is no tag {key!r} to remove; there are: {', '.join(sorted(tags)) or 'none'}")
    changed = {key: value for key, value in {**tags, **setting}.items() if key not in removing}
    if len(changed) > MAX_TAGS:
        raise InvalidTag(f"a version has at most {MAX_TAGS} tags, and would have {len(changed)}; remove some")
    return dict(sorted(changed.items()))


def matches(tags: Mapping[str, str], wanted: Iterable[str]) -> bool:
    """Say whether *tags* have all that is *wanted*: each ``KEY=VALUE``, or a ``KEY`` with any value."""
    return all(_has(tags, *each.partition("=")) for each in wanted)


def _has(tags: Mapping[str, str], key: str, equals: str, value: str) -> bool:
    return key in tags and (not equals or tags[key] == value)
