"""Feedback over gRPC: ``gateway.v1.Feedback/Send``, a service of our own, for the protocol has none.

A message becomes the data that a body of JSON is, so that one reader checks both. Translates, decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import RequestTooLarge
from gateway.rpc.descriptors import build
from gateway.rpc.problems import problem
from gateway.rpc.status import Status
from gateway.serving.feedback import BODY_BYTES, FeedbackRoom, facts_in

if TYPE_CHECKING:
    from gateway.core.errors import GatewayError
    from gateway.core.feedback import Fact
    from gateway.ports.labels import Feedback
    from gateway.rpc.stream import Stream
    from gateway.serving.description import Description

PACKAGE: Final = "gateway.v1"
SERVICE: Final = f"{PACKAGE}.Feedback"
METHOD: Final = "Send"

DESCRIBED: Final[dict[str, dict[int, str]]] = {
    "Labels": {1: "many string rows"},
    "Values": {1: "many double rows"},
    "Item": {1: "string id", 2: "one Labels label", 3: "one Values value", 4: "one double reward"},
    "Result": {1: "string id", 2: "string status", 3: "int32 code", 4: "string error"},
    "SendRequest": {1: "string model_name", 2: "many Item items"},
    "SendResponse": {1: "many Result results"},
}
"""``docs/feedback.md`` shows the same as a ``.proto`` file. *code* is a status code of gRPC."""

MESSAGES: Final = build(PACKAGE, DESCRIBED, "Feedback", {METHOD: METHOD}, choice="said")


class FeedbackService:
    """Answers the one method."""

    def __init__(self, described: Description, feedback: Feedback | None) -> None:
        """*feedback* is None where it is off."""
        self._room = FeedbackRoom(described, feedback)

    async def send(self, given: Any, _: Stream) -> Any:
        """Take the items of *given*; one that comes alone and is refused is the call's error."""
        with self._room.entered(given.model_name):
            if given.ByteSize() > BODY_BYTES:
                raise RequestTooLarge(f"the message has more than {BODY_BYTES} bytes; send the items in several calls")
            async with self._room.turn():
                items = [_data(item) for item in given.items]
                is_alone = len(items) == 1
                facts = facts_in(items[0] if is_alone else {"feedback": items})
            came = await self._room.take(given.model_name, facts)
        if is_alone and not isinstance(error := came[0], str):
            raise error
        return MESSAGES["SendResponse"](results=[_result(*each) for each in zip(facts, came, strict=True)])


def _data(item: Any) -> dict[str, Any]:
    """Return what an item says, as the member of a JSON body."""
    said: str | None = item.WhichOneof("said")
    if said is None:
        return {"id": item.id}
    return {"id": item.id, said: item.reward if said == "reward" else list(getattr(item, said).rows)}


def _result(fact: Fact, came: str | GatewayError) -> Any:
    """Return what became of one item: its status, or the code and the words of an answer to it alone."""
    if isinstance(came, str):
        return MESSAGES["Result"](id=fact.id, status=came, code=Status.OK)
    code, _, text = problem(came)
    return MESSAGES["Result"](id=fact.id, status="refused", code=code, error=text)
