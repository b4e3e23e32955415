"""Ed25519 keys as OpenSSH keeps them, what they sign, and who is believed.

``ssh-keygen -t ed25519`` makes a key; the line of its ``.pub`` goes into the file of trusted keys. Nothing here shows a
key: messages name a fingerprint. The cryptography is that of the package `cryptography`, imported when it is used.
Source: RFC 8032 (Ed25519); the public line and its fingerprint: RFC 4253 section 6.6, RFC 8709, sshd(8).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.errors import GatewayError, InvalidModel, InvalidSettings
from gateway.models.digests import Signature

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.models.digests import Digests

    Trusted = Mapping[str, "TrustedKey"]
    """Fingerprint → key."""

KIND: Final = "ssh-ed25519"
_HEAD: Final = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
"""What a public key's bytes begin with: the length of its kind, its kind, the length of the key."""
_KEY_BYTES: Final = 32
_MAX_BYTES: Final = 1 << 20
TO_SIGN: Final = "sign it with `gateway versions sign` and a key that --trusted-keys names"
INSTALL: Final = "install it with pip install 'canary-gateway[signing]'"


class CannotSign(GatewayError):
    """A key cannot be used; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key that is believed. *name* is what the file calls it, or its fingerprint."""

    name: str
    raw: bytes


def need_library() -> None:
    """Raise InvalidSettings where `cryptography` is not installed, without importing it."""
    if importlib.util.find_spec("cryptography") is None:
        raise InvalidSettings(f"signatures need cryptography, which is not installed; {INSTALL}")


def read_trusted(path: Path) -> Trusted:
    """Return the keys in the file at *path*: lines ``ssh-ed25519 KEY NAME``, comments with ``#``.

    Raises InvalidSettings for a file that cannot be read, holds no key, or any other line.
    """
    try:
        content = path.read_bytes()[: _MAX_BYTES + 1]
        lines = content.decode("utf-8").splitlines()
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise InvalidSettings(
            f"--trusted-keys {str(path)!r} cannot be read: {why}; name a file of public keys"
        ) from exc
    found: dict[str, TrustedKey] = {}
    for place, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            fingerprint, key = _trusted(path, place, line)
            found[fingerprint] = key
    if not found or len(content) > _MAX_BYTES:
        raise InvalidSettings(f"--trusted-keys {str(path)!r} holds no key or too many; put a line of a .pub file there")
    return found


def _trusted(path: Path, place: int, line: str) -> tuple[str, TrustedKey]:
    """Return fingerprint and key of one line."""
    kind, _, rest = line.strip().partition(" ")
    text, _, name = rest.strip().partition(" ")
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    if kind != KIND or not blob.startswith(_HEAD) or len(blob) != len(_HEAD) + _KEY_BYTES:
        raise InvalidSettings(
            f"--trusted-keys {str(path)!r}: line {place} is no public key; write `{KIND} KEY NAME`, as the .pub file "
            f"of `ssh-keygen -t ed25519` has it"
        )
    fingerprint = _fingerprint(blob)
    return fingerprint, TrustedKey(name.strip() or fingerprint, blob[len(_HEAD) :])


def sign(digests: Digests, key: Path) -> Digests:
    """Return *digests* with a signature by the private key in the file *key*. Raises CannotSign, InvalidSettings."""
    need_library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    advice = "name one that `ssh-keygen -t ed25519 -N ''` made"
    try:
        private = load_ssh_private_key(key.read_bytes(), password=None)
    except OSError as exc:
        raise CannotSign(f"the key {str(key)!r} cannot be read: {exc.strerror}; {advice}") from exc
    except (TypeError, ValueError, UnsupportedAlgorithm):  # from None: what it says could hold a part of the file
        raise CannotSign(f"{str(key)!r} is no private key without a passphrase; {advice}") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise CannotSign(f"{str(key)!r} is not an Ed25519 key; {advice}")
    fingerprint = _fingerprint(_HEAD + private.public_key().public_bytes_raw())
    signature = base64.b64encode(private.sign(digests.signed())).decode()
    return digests.with_signature(Signature(fingerprint, signature))


def signer(digests: Digests, trusted: Trusted) -> str:
    """Return the name of a trusted key that signed *digests*. Raises InvalidModel, code unsigned, where none did."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    for each in digests.signatures:
        if (key := trusted.get(each.key)) is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.raw).verify(base64.b64decode(each.text), digests.signed())
        except InvalidSignature:
            raise InvalidModel("unsigned", f"its signature by {key.name} is wrong; {TO_SIGN}") from None
        return key.name
    by = ", ".join(each.key for each in digests.signatures)
    why = f"it is signed by {by}, who is not trusted here" if by else "nobody signed it"
    raise InvalidModel("unsigned", f"{why}; {TO_SIGN}")


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
