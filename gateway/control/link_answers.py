"""The pages behind the links of notifications: one that asks, which a mail scanner may open, and one that tells.

They translate and decide nothing. No script, nothing from elsewhere, and no word that is not escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from gateway.control.links import Standing, State
from gateway.control.problems import status_and_title
from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from gateway.control.admin_answers import Call
    from gateway.control.links import Links

STATUSES: Final[Mapping[State, int]] = {
    State.OPEN: 200,
    State.DONE: 200,
    State.UNKNOWN: 404,
    State.USED: 410,
    State.EXPIRED: 410,
    State.STALE: 409,
}
"""Where a link stands → the status of its page."""

PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="../../console/icon.svg">
<link rel="stylesheet" href="../../console/style.css">
</head>
<body>
<main>
<h1>{title}</h1>
<p role="status">{text}</p>
{form}<p><a href="../../#/models/{model}">Look at it in the console</a></p>
</main>
</body>
</html>
"""

FORM: Final = '<form method="post"><button>{label}</button></form>\n'


async def show_link(call: Call) -> Response:
    """Say what the link would do, with a button. Changes nothing."""
    return _page(call, await _links(call).look(call.model, call.request.path_params["token"]))


async def use_link(call: Call) -> Response:
    """Do what the link offers, once."""
    links = _links(call)
    try:
        standing = await links.act(call.model, call.request.path_params["token"])
    except GatewayError as exc:
        status, title = status_and_title(exc)
        return _written(call, status, title, f"Nothing was done: {exc}")
    return _page(call, standing)


def _links(call: Call) -> Links:
    if call.admin.links is None:
        raise HTTPException(404, "links are off here; start the gateway with --public-url")
    return call.admin.links


def _page(call: Call, standing: Standing) -> Response:
    offer, state = standing.offer, standing.state
    if offer is None:
        return _written(call, STATUSES[state], "Nothing to do", f"{standing.why}.")
    act = offer.act.replace("_", " ").capitalize()
    if state is State.OPEN:
        return _written(call, 200, f"{act}?", f"{offer.words}.", button=act)
    if state is State.DONE:
        return _written(call, 200, "Done", f"{offer.words}. It is in the history as by link sent to {offer.target}.")
    return _written(call, STATUSES[state], "Nothing was done", f"{standing.why}. It would have been: {offer.words}.")


def _written(call: Call, status: int, title: str, text: str, *, button: str = "") -> Response:
    form = FORM.format(label=escape(button)) if button else ""
    page = PAGE.format(title=escape(title), text=escape(text), form=form, model=escape(call.model))
    return HTMLResponse(page, status)
