"""The tags of versions: ``tags.json`` beside ``model.onnx``.

A version is immutable, and what people say of it later is not part of it: the file lies outside every digest, no
worker looks at it, and it may change at any time. A change is read, made and written under the lock of the model's
directory, so that none of two at once is lost; the file is replaced whole. Blocks.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.core import tags as rules
from gateway.core.errors import InvalidModel
from gateway.core.names import is_model_name
from gateway.core.tags import InvalidTag
from gateway.models.files import open_regular
from gateway.models.publishing import locked, overwrite
from gateway.models.repository import MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

TAGS_FILE: Final = "tags.json"
MAX_BYTES: Final = 256 * 1024


class InvalidTags(ValueError):
    """The file cannot be read as tags; mend it, or delete it."""


def read_tags(directory: Path) -> dict[str, str]:
    """Return the tags in a version's *directory*, sorted by key. Raises InvalidTags."""
    path = directory / TAGS_FILE
    if not os.path.lexists(path):
        return {}
    try:
        with open_regular(path, max_bytes=MAX_BYTES) as (descriptor, _):
            content = os.read(descriptor, MAX_BYTES + 1)
        return decoded(content)
    except InvalidModel as exc:
        raise InvalidTags(f"{path}: {exc.reason}; mend it, or delete it") from exc
    except (OSError, ValueError) as exc:
        raise InvalidTags(f"{path} holds no tags ({exc}); mend it, or delete it") from exc


def decoded(content: bytes) -> dict[str, str]:
    """Return the tags that the bytes of a ``tags.json`` hold, sorted by key. Raises ValueError."""
    found = msgspec.json.decode(content, type=dict[str, str])
    return rules.change({}, dict(rules.check_tag(key, value) for key, value in found.items()), ())


def encoded(tags: Mapping[str, str]) -> bytes:
    """Return the bytes of a ``tags.json``."""
    return msgspec.json.format(msgspec.json.encode(dict(tags)), indent=2) + b"\n"


def change_tags(
    root: Path, model: str, version: int, setting: Mapping[str, str], removing: Collection[str]
) -> dict[str, str]:
    """Set and remove tags of a published version, and return those it has now; with nothing to change only look.

    Raises InvalidTag where the version or a tag to remove is not there, InvalidTags where the file is damaged, and
    OSError where the directory cannot be written.
    """
    directory = root / model
    place = directory / str(version)
    if not is_model_name(model) or not (place / MODEL_FILE).is_file():
        raise InvalidTag(f"there is no version {version} of {model} below {root}; `gateway models list` shows them")
    if not setting and not removing:
        return read_tags(place)
    with locked(directory):
        tags = rules.change(read_tags(place), setting, removing)
        overwrite(place, {TAGS_FILE: encoded(tags)})
    return tags


def tags_of(root: Path, model: str, versions: Iterable[int]) -> dict[int, dict[str, str]]:
    """Return the tags of *versions* of *model*; a file that cannot be read has none, and the log says why."""
    found = {}
    for version in versions:
        try:
            found[version] = read_tags(root / model / str(version))
        except InvalidTags as exc:
            logger.warning("tags are left out: %s", exc)
            found[version] = {}
    return found
