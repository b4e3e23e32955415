"""The answer of the admin API that says who comes from whom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from gateway.control import admin_requests as ask
from gateway.core.errors import UnknownVersion
from gateway.core.lineage import VersionName
from gateway.core.names import version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.responses import Response

    from gateway.control.admin_answers import Call
    from gateway.core.lineage import Lineage


async def show_lineage(call: Call) -> Response:
    """Answer for all versions of the model, or for the one that ``?version=`` names."""
    fleet = call.operations.versions(call.model)
    asked = ask.query_members(call.request, ("version",)).get("version")
    version = None if asked is None else version_number(asked)
    if asked is not None and version not in fleet:
        raise UnknownVersion(call.model, asked[:32])
    names = [VersionName(call.model, each) for each in fleet if version in (None, each)]
    lineage = await asyncio.to_thread(call.admin.lineage)
    return JSONResponse({"model": call.model, "version": asked, **lineage_view(names, lineage, call.who.reaches)})


def lineage_view(
    asked: Sequence[VersionName], lineage: Lineage, reaches: Callable[[str], bool] = lambda _model: True
) -> dict[str, Any]:
    """Return the versions *asked* for with all their ancestors and descendants, and who is whose parent.

    Versions of models that the caller does not reach are left out.

    *there* says whether a version is in the repository; *unread* what its metadata calls a parent and names none.
    """
    family = {*asked, *lineage.ancestors(asked), *lineage.descendants(asked)}
    shown = sorted(name for name in family if reaches(name.model))
    return {
        "versions": [
            {"name": str(name), "there": name in lineage.parents, "unread": list(lineage.unread.get(name, ()))}
            for name in shown
        ],
        "parents": [
            {"child": str(child), "parent": str(parent.name), "relation": parent.relation}
            for child in shown
            for parent in lineage.parents.get(child, ())
            if parent.name in shown
        ],
    }
