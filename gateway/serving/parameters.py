"""The id and the parameters of a request: what every protocol says with them, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

Parameter = str | int | float | bool

ID_CHARACTERS: Final = 1024

UNSUPPORTED_PARAMETERS: Final = ("sequence_id", "sequence_start", "sequence_end")


def check_id(given: str) -> None:
    """Refuse an id that could not be shown or stored. Raises InvalidRequest."""
    if len(given) > ID_CHARACTERS or not given.isprintable():
        raise InvalidRequest(f"id: must be printable and at most {ID_CHARACTERS} characters", "invalid_id")


def check_parameters(parameters: Mapping[str, Parameter], most: int) -> None:
    """Refuse more than *most*, and what asks for something that is not done here. Raises InvalidRequest."""
    if len(parameters) > most:
        raise InvalidRequest(
            f"parameters: {len(parameters)} are more than the {most} that may be sent", "invalid_parameter"
        )
    for name in UNSUPPORTED_PARAMETERS:
        if name in parameters:
            raise InvalidRequest(f"parameters.{name}: sequences are not supported", "unsupported_parameter")


def key_values(parameters: Mapping[str, Parameter] | None, name: str) -> list[bytes]:
    """Return the value that ``parameter:NAME`` of a route reads: integers in decimal, other non-strings missing."""
    value = (parameters or {}).get(name)
    if isinstance(value, str):
        return [value.encode("utf-8", "surrogatepass")]
    return [str(value).encode()] if isinstance(value, int) and not isinstance(value, bool) else []


def microseconds(given: Parameter) -> float:
    """Return the seconds that the parameter ``timeout`` means. Raises InvalidRequest."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidRequest("parameters.timeout: must be whole microseconds, 1 or more", "invalid_timeout")
    return given / 1_000_000
