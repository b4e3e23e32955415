"""Inference over ASGI: the plain door, and the oracle that the short cut is measured against."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.rest.exchange import Answer, Exchange
from gateway.rest.request_head import RequestHead

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.rest.exchange import Inference

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]


async def answer(
    inference: Inference,
    model: str,
    version: int | None,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    begin: Callable[..., Exchange] = Exchange,
) -> None:
    """Answer one inference request for *model*, by its route or by the *version* that the path names.

    *begin* makes the exchange of the protocol that is spoken; it takes what ``Exchange`` takes.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer | None] = loop.create_future()
    leaving: asyncio.Task[None] | None = None
    headers = scope["headers"]
    head = RequestHead(headers, dict(headers), scope["query_string"])
    exchange = begin(inference, model, version, head, answered.set_result)
    try:
        if exchange.admit():
            if await _is_whole(exchange, receive):
                exchange.run()
            elif not answered.done():
                return  # the caller is gone
        if not answered.done():
            leaving = loop.create_task(_watch(exchange, receive, answered))
        made = await answered
        if made is not None:
            await _send(inference, made, send)
    except asyncio.CancelledError:
        exchange.gone()
        raise
    finally:
        if leaving is not None:
            leaving.cancel()


async def _watch(exchange: Exchange, receive: Receive, answered: asyncio.Future[Answer | None]) -> None:
    """Free the place of a caller that hangs up while its request waits or runs."""
    while (await receive())["type"] != "http.disconnect":
        pass
    exchange.gone()
    if not answered.done():
        answered.set_result(None)


async def _is_whole(exchange: Exchange, receive: Receive) -> bool:
    """Give the exchange its body; False when the request has ended before that did."""
    message = await receive()
    while message["type"] == "http.request":
        if not exchange.take(bytes(message["body"])):
            return False
        if not message.get("more_body"):
            return True
        message = await receive()
    exchange.gone()
    return False


async def _send(inference: Inference, made: Answer, send: Send) -> None:
    body = b"".join((made.body, *made.behind)) if made.behind else made.body
    headers = [
        *(made.arm.headers if made.arm is not None else ()),
        *made.headers,
        (b"x-request-id", made.request_id.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    if inference.closes(made):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": made.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
