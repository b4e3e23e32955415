"""The answer of the admin API about an experiment: it translates and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse

from gateway.control import admin_requests as ask
from gateway.control import experiments
from gateway.core.errors import InvalidDocument
from gateway.core.experiment import RULE, Asked
from gateway.core.members import at, shown
from gateway.core.quantities import percent_of
from gateway.core.splits import version_of

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.control.admin_answers import Call

QUERY: Final = ("first", "second", "rule", "apart", "alpha")


async def show_report(call: Call) -> Response:
    given = ask.query_members(call.request, QUERY)
    versions = []
    for name in ("first", "second"):
        with at(name):
            if name not in given:
                raise InvalidDocument("", "is missing; name the two versions as ?first=1&second=2")
            versions.append(version_of(given[name]))
    if versions[0] == versions[1]:
        raise InvalidDocument("second", f"is version {versions[1]}, as the first; name another one")
    rule = given.get("rule", "split")
    if RULE.fullmatch(rule) is None:
        raise InvalidDocument(
            "rule", f"{shown(rule)} chooses no version; write split, missing, rule-1, pinned or fallback"
        )
    with at("apart"):
        apart = percent_of(given.get("apart", "1%"), least=0.0001, most=0.5)
    with at("alpha"):
        alpha = percent_of(given.get("alpha", "5%"), least=0.0001, most=0.2)
    asked = Asked(versions[0], versions[1], rule, apart, alpha)
    return JSONResponse(await experiments.report(call.operations, call.model, asked))
