"""Which version an order of the repository extension names, and what it may not ask for; the same behind every door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidRequest, UnknownVersion
from gateway.core.members import shown
from gateway.core.names import version_number

if TYPE_CHECKING:
    from collections.abc import Mapping

DEPENDENTS: Final = "unload_dependents"
"""Triton's clients always send it. No model here depends on another, so either value asks for the same."""

OVERRIDES: Final = ("config", "file:")
"""Parameters by which Triton takes a configuration, or a whole model, out of the request."""


def ordered_version(model: str, parameters: Mapping[str, object], *elsewhere: str | None) -> int | None:
    """Return the one version that an order names, None for the whole model.

    *parameters* are the body's, *elsewhere* what path and query say. Raises InvalidRequest for what
    cannot be honoured or names two versions, UnknownVersion for what is no version.
    """
    _check(parameters)
    given = parameters.get("version")
    if isinstance(given, bool) or not isinstance(given, str | int | None):
        raise InvalidRequest(
            f"parameter 'version': {shown(given)} is no version; write \"2\" or 2", "invalid_parameter"
        )
    spelled = {str(each) for each in (given, *elsewhere) if each is not None}
    if len(spelled) > 1:
        raise InvalidRequest("the order names more than one version; name it once", "invalid_parameter")
    if not spelled:
        return None
    number = version_number(spelled.pop())
    if number is None:
        raise UnknownVersion(model, str(given or next(filter(None, elsewhere), ""))[:32])
    return number


def _check(parameters: Mapping[str, object]) -> None:
    for name in parameters:
        if name.startswith(OVERRIDES):
            raise InvalidRequest(
                f"parameter {shown(name)}: versions are immutable and come from the repository; "
                "publish a new version there and load that",
                "unsupported_parameter",
            )
        if name not in {"version", DEPENDENTS}:
            raise InvalidRequest(
                f"parameter {shown(name)} is not known here; write version, or nothing", "unsupported_parameter"
            )
