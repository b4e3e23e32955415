"""A ModelInfer of a caller whose share is bounded. Whether this is used is chosen when the door is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.rpc.call import Call, Reply
from gateway.serving.bounded import Bounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.rpc.codec import RpcCodec
    from gateway.rpc.stream import Stream
    from gateway.serving.exchange import Codecs, Traffic


class BoundedCall(Bounded[Reply], Call):
    """One ModelInfer; the caller is looked at before its message is."""

    __slots__ = ("_address", "_caller")

    def __init__(
        self, traffic: Traffic, codecs: Codecs[RpcCodec], stream: Stream, reply: Callable[[Reply], None]
    ) -> None:
        Call.__init__(self, traffic, codecs, stream.metadata, stream.remaining(), reply)
        self._address = stream.address or ""
        self._caller = None

    def _run(self, body: bytes) -> None:
        self._enter()
        super()._run(body)
