"""The answers of the admin API about notifications: they translate and decide nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from gateway.control import admin_requests as ask
from gateway.core.errors import InvalidDocument, UnknownModel
from gateway.core.notification import read_notification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from gateway.control.admin_answers import Call
    from gateway.ports.notifications import TargetFigures, Undelivered

RETRY: Final = {
    "type": "object", "required": ["model"], "additionalProperties": False,
    "properties": {"model": {"type": "string"}, "key": {"type": "string", "pattern": "^[0-9]+-[0-9]+$"}},
}  # fmt: skip
KEY: Final = re.compile(r"[0-9]{1,16}-[0-9]{1,16}", re.ASCII)


class NobodyIsTold:
    """Implements ``ports.NotificationDesk`` where nobody is told of anything."""

    def figures(self) -> Mapping[str, TargetFigures]:
        return {}

    def describe(self) -> Sequence[Mapping[str, Any]]:
        return ()

    async def given_up(self) -> Mapping[str, Sequence[Undelivered]]:
        return {}

    async def again(self, model: str, key: str) -> bool:  # noqa: ARG002 - the port's
        return False


async def list_notifications(call: Call) -> Response:
    """Show who is told, how that goes, and what was given up."""
    desk = call.admin.notifications
    figures = desk.figures()
    targets = [
        {
            **target,
            **dict(figures[target["name"]].outcomes),
            "waiting": figures[target["name"]].waiting,
            "oldest_seconds": round(figures[target["name"]].oldest_seconds, 1),
        }
        for target in desk.describe()
    ]
    given_up = [
        _view(model, each)
        for model, found in (await desk.given_up()).items()
        if call.who.reaches(model)
        for each in found
    ]
    return JSONResponse({"targets": targets, "given_up": given_up})


async def retry_notifications(call: Call) -> Response:
    """Try again what was given up of a model: one, or all of it."""
    data = ask.members(await ask.json_body(call.request), ("model", "key"), needed=("model",))
    model, key = ask.text_member(data, "model"), ask.text_member(data, "key")
    call.who.check_model(model)
    if model not in call.operations.models():
        raise UnknownModel(model)
    if key and KEY.fullmatch(key) is None:
        raise InvalidDocument("key", "this is no key; `gateway notifications list` shows them")
    desk = call.admin.notifications
    keys = [key] if key else [each.key for each in (await desk.given_up()).get(model, ())]
    again = [each for each in keys if await desk.again(model, each)]
    if key and not again:
        raise HTTPException(
            404, f"nothing was given up under this key of model {model!r}, or it is tried again already"
        )
    return JSONResponse({"model": model, "again": again}, 202)


def _view(model: str, given_up: Undelivered) -> dict[str, Any]:
    try:
        kind: str | None = read_notification(given_up.payload).kind.value
    except InvalidDocument:
        kind = None
    return {
        "model": model,
        "key": given_up.key,
        "target": given_up.target,
        "id": given_up.id,
        "type": kind,
        "at_ms": given_up.at_ms,
        "reason": given_up.reason,
    }
