"""The reference: an ASGI application that reads a request and answers a constant.

Whatever a gateway behind the same server adds to this is its own cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

ANSWER: Final = (
    b'{"model_name":"breast-cancer","model_version":"1","id":"0123456789ab-0123","outputs":[{"name":"label",'
    b'"datatype":"INT64","shape":[1],"data":[1]},{"name":"probabilities","datatype":"FP32","shape":[1,2],"data":[0.01234567,0.9876543]}]}'
)
"""About as long as what the gateway answers to the same request."""

HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Read the whole body of any request and answer ANSWER."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
