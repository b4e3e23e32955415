"""Feedback over HTTP: what callers say of answers, by the answers' ids. Translates, decides nothing.

Any worker of any replica takes it. Whoever may ask for predictions may say what became of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from gateway.rest.extensions import body_of, object_in
from gateway.rest.problems import Problem
from gateway.rest.responses import answer
from gateway.serving.feedback import FeedbackRoom, facts_in

if TYPE_CHECKING:
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.core.errors import GatewayError
    from gateway.core.feedback import Fact
    from gateway.ports.labels import Feedback
    from gateway.serving.description import Description


class FeedbackDoor:
    """The one endpoint."""

    def __init__(self, described: Description, feedback: Feedback | None) -> None:
        """*feedback* is None where it is off."""
        self._room = FeedbackRoom(described, feedback)

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/v2/models/{model}/feedback", self._take, methods=["POST"])]

    async def _take(self, request: Request) -> Response:
        model: str = request.path_params["model"]
        with self._room.entered(model):
            sent = await body_of(request)
            async with self._room.turn():
                body = object_in(sent)
                facts = facts_in(body)
            came = await self._room.take(model, facts)
        if "feedback" in body:
            return answer({"model": model, "feedback": [_item(*each) for each in zip(facts, came, strict=True)]}, 202)
        if not isinstance(came[0], str):
            raise came[0]
        return answer({"model": model, "id": facts[0].id, "status": came[0]}, 202)


def _item(fact: Fact, came: str | GatewayError) -> dict[str, Any]:
    """Return what became of one of many: its status, or the code and the words of an answer to it alone."""
    if isinstance(came, str):
        return {"id": fact.id, "status": came}
    return {"id": fact.id, "status": "refused", "code": Problem(came, "").code, "error": str(came)}
