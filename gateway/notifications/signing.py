"""The signature that a receiver checks, so that it takes a notification from nobody else, and none twice by replay.

Source: Standard Webhooks 1.0.0, https://www.standardwebhooks.com, symmetric signatures.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def signed(name: str, at: int, body: bytes, secrets: Sequence[bytes]) -> Mapping[str, str]:
    """Return the headers that sign *body*: HMAC-SHA256 over ``ID.TIMESTAMP.BODY``, one signature per secret.

    name: the notification's id. at: when it is sent, whole seconds since the epoch. Several secrets are for the time in
    which one replaces another: a receiver takes a notification that any of them signed.
    """
    content = b"%s.%d.%s" % (name.encode(), at, body)
    digests = (base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode() for secret in secrets)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{digest}" for digest in digests),
    }
