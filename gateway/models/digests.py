"""The digests of a version: ``digests.txt`` beside ``model.onnx``, which may carry signatures.

It names the SHA-256 of each file that decides how the version answers, and whose version it is, so that neither a byte
nor a number can be exchanged. What people say of a version later (tags, evaluations, references) lies outside. A file
reads in one way only: written again it has the same bytes. Reads and writes; ``signing.py`` knows the keys.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidModel
from gateway.models.files import open_regular
from gateway.models.loading import MAX_MODEL_BYTES
from gateway.models.repository import DIGESTS_FILE, GOLDEN_FILE, METADATA_FILE, MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COVERED: Final = (MODEL_FILE, METADATA_FILE, GOLDEN_FILE)
"""The files that decide how a version answers, in the order in which they are written down."""

MAX_BYTES: Final = 16 * 1024
_TITLE: Final = "canary-gateway digests 1"
_CHUNK_BYTES: Final = 1 << 20

_LINES: Final = re.compile(
    rf"{_TITLE}\n"
    r"model (?P<model>[A-Za-z0-9._-]{1,63})\n"
    r"version (?P<version>[1-9][0-9]{0,18})\n"
    r"(?P<files>(?:sha256 [0-9a-f]{64} [a-z.]+\n)+)"
    r"(?P<signatures>(?:signature SHA256:[A-Za-z0-9+/]{43} [A-Za-z0-9+/]{86}==\n)*)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature: *key*, the fingerprint of its key as OpenSSH writes it, and *text*, its 64 bytes in base64."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Digests:
    """What ``digests.txt`` says. *files*: name → SHA-256, lower case."""

    model: str
    version: int
    files: Mapping[str, str]
    signatures: tuple[Signature, ...] = ()

    def signed(self) -> bytes:
        """Return the bytes that a signature is over: the file without its signatures."""
        files = "".join(f"sha256 {self.files[name]} {name}\n" for name in COVERED if name in self.files)
        return f"{_TITLE}\nmodel {self.model}\nversion {self.version}\n{files}".encode()

    def encoded(self) -> bytes:
        """Return the bytes of the file."""
        return self.signed() + "".join(f"signature {each.key} {each.text}\n" for each in self.signatures).encode()

    def with_signature(self, signature: Signature) -> Digests:
        """Return these with one more signature, in place of one by the same key."""
        others = tuple(each for each in self.signatures if each.key != signature.key)
        return replace(self, signatures=(*others, signature))

    def check(self, model: str, version: int, names: set[str]) -> None:
        """Raise InvalidModel, code digest, unless they are of this version and of the covered files it has, *names*."""
        if (self.model, self.version) != (model, version):
            raise _wrong(f"is of version {self.version} of {self.model}; write this version's own")
        for name in COVERED:
            if (name in names) is not (name in self.files):
                why = "does not name" if name in names else "names"
                raise _wrong(f"{why} {name}, which is {'' if name in names else 'not '}there; publish the files again")


def parse_digests(content: bytes) -> Digests:
    """Return what *content* says. Raises InvalidModel with code digest."""
    match = _LINES.fullmatch(content.decode("ascii", "replace"))
    if match is None:
        raise _wrong("does not read as digests")
    files = [line.split(" ") for line in match["files"].splitlines()]
    found = Digests(
        match["model"],
        int(match["version"]),
        {name: digest for _, digest, name in files},
        tuple(Signature(*line.split(" ")[1:]) for line in match["signatures"].splitlines()),
    )
    if found.encoded() != content:
        raise _wrong("does not read as digests")
    return found


def read_digests(path: Path) -> Digests:
    """Return what the file at *path* says. Raises InvalidModel, code digest, and what `open_regular` raises."""
    with open_regular(path, max_bytes=MAX_BYTES) as (descriptor, _):
        try:
            content = os.read(descriptor, MAX_BYTES + 1)
        except OSError as exc:
            raise InvalidModel("unreadable", f"{path.name} cannot be read: {exc.strerror}") from exc
    return parse_digests(content)


def digests_of(directory: Path, model: str, version: int) -> Digests:
    """Return the digests of a version's files as they are in *directory* now, with the signatures that are still right.

    Those are the ones of a ``digests.txt`` over the same files; others fall away. Raises what `open_regular` raises.
    """
    names = [name for name in COVERED if os.path.lexists(directory / name)]
    fresh = Digests(model, version, {name: _sha256(directory / name) for name in names})
    try:
        before = read_digests(directory / DIGESTS_FILE)
    except InvalidModel:
        return fresh
    return before if before.signed() == fresh.signed() else fresh


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path, max_bytes=MAX_MODEL_BYTES) as (descriptor, _):
        try:
            while chunk := os.read(descriptor, _CHUNK_BYTES):
                digest.update(chunk)
        except OSError as exc:
            raise InvalidModel("unreadable", f"{path.name} cannot be read: {exc.strerror}") from exc
    return digest.hexdigest()


def _wrong(reason: str) -> InvalidModel:
    return InvalidModel("digest", f"{DIGESTS_FILE} {reason}, or write it again with `gateway versions sign`")
