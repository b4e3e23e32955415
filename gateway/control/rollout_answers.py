"""The answers of the admin API about rollouts: they translate between HTTP and ``operations`` and decide nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse

from gateway.control import admin_requests as ask
from gateway.control.rollout_views import rollout_brief, rollout_view
from gateway.core import plan
from gateway.core.errors import InvalidDocument
from gateway.core.members import at, shown
from gateway.core.phases import Event
from gateway.core.splits import version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from gateway.control.admin_answers import Call
    from gateway.core.rollout import Rollout

OWN: Final = ("candidate", "candidates", "reason", "supersede", "force", "dry_run")
"""The members of a start that are not of its plan."""


async def start_rollout(call: Call) -> Response:
    expected = ask.expected_revision(call.request)
    data = ask.members(await ask.json_body(call.request), (*OWN, *plan.MEMBERS))
    dry_run = ask.truth_member(data, "dry_run")
    started = await call.operations.rollouts.start(
        call.model,
        _candidates(data),
        {name: value for name, value in data.items() if name not in OWN},
        expected=expected,
        who=call.who.actor,
        reason=ask.text_member(data, "reason"),
        supersede=ask.truth_member(data, "supersede"),
        force=ask.truth_member(data, "force"),
        dry_run=dry_run,
    )
    return _moved(call.model, *started, status=200 if dry_run else 201)


async def show_rollout(call: Call) -> Response:
    current, assessment = await call.operations.rollouts.look(call.model)
    assert current.document is not None
    view = rollout_view(
        call.model,
        current.document,
        assessment,
        call.admin.workers.reports(),
        call.operations.preflight.readiness(call.model, current),
        call.operations.versions(call.model),
    )
    return JSONResponse(view, headers={"etag": f'"{current.revision}"'})


async def pause_rollout(call: Call) -> Response:
    return await _move(call, Event.PAUSE)


async def resume_rollout(call: Call) -> Response:
    return await _move(call, Event.RESUME)


async def promote_rollout(call: Call) -> Response:
    return await _move(call, Event.PROMOTE, switches=("force", "full"), takes_version=True)


async def abort_rollout(call: Call) -> Response:
    return await _move(call, Event.ABORT)


async def retry_rollout(call: Call) -> Response:
    return await _move(call, Event.RETRY)


def _candidates(data: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the one that ``candidate`` names, or those that ``candidates`` does."""
    if "candidates" in data and "candidate" in data:
        raise InvalidDocument("candidates", "stands beside candidate; write one of the two")
    if "candidates" not in data:
        with at("candidate"):
            if "candidate" not in data:
                raise InvalidDocument("", "is missing; write the version, or several as candidates")
            return (version_of(data["candidate"]),)
    with at("candidates"):
        listed = data["candidates"]
        if not isinstance(listed, list) or not listed:
            raise InvalidDocument("", f'{shown(listed)} is no list of versions; write such as ["2", "3"]')
        return tuple(version_of(each) for each in listed)


async def _move(call: Call, event: Event, switches: tuple[str, ...] = (), *, takes_version: bool = False) -> Response:
    expected = ask.expected_revision(call.request)
    data = await ask.optional_members(call.request, ("reason", *switches, *(["version"] if takes_version else [])))
    with at("version"):
        version = version_of(data["version"]) if "version" in data else None
    moved = await call.operations.rollouts.move(
        call.model,
        event,
        expected=expected,
        who=call.who.actor,
        reason=ask.text_member(data, "reason"),
        version=version,
        **{name: ask.truth_member(data, name) for name in switches},
    )
    return _moved(call.model, *moved)


def _moved(model: str, rollout: Rollout, revision: int, status: int = 200) -> Response:
    warnings = list(rollout.plan.warnings())
    view = {"model": model, **rollout_brief(rollout), "revision": revision, "warnings": warnings}
    view["plan"] = rollout.plan.as_dict()
    return JSONResponse(view, status, headers={"etag": f'"{revision}"'})
