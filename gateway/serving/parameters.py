"""The id and the parameters of a request: what every protocol says with them, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sized

Parameter = str | int | float | bool

ID_CHARACTERS: Final = 1024

UNSUPPORTED: Final = {"sequence_": "sequences are", "shared_memory_": "shared memory is"}
"""How the parameters begin that ask for something that is not done here, and what that is."""

MAX_PRIORITY: Final = 2**32 - 1


def check_id(given: str) -> None:
    """Refuse an id that could not be shown or stored. Raises InvalidRequest."""
    if len(given) > ID_CHARACTERS or not given.isprintable():
        raise InvalidRequest(f"id: must be printable and at most {ID_CHARACTERS} characters", "invalid_id")


def check_count(parameters: Sized, most: int) -> None:
    """Refuse more than *most* parameters of a request. Raises InvalidRequest."""
    if len(parameters) > most:
        raise InvalidRequest(
            f"parameters: {len(parameters)} are more than the {most} that may be sent", "invalid_parameter"
        )


def check_parameters(parameters: Iterable[str], of: str = "the request") -> None:
    """Refuse what asks for something that is not done here, by the names of the *parameters*. Raises InvalidRequest.

    *of*: whose they are; a request, its inputs and its outputs have some.
    """
    for name in parameters:
        for beginning, what in UNSUPPORTED.items():
            if name.startswith(beginning):
                raise InvalidRequest(f"{of}: parameter {name!r}: {what} not supported", "unsupported_parameter")


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


def urgency(given: Parameter) -> int:
    """Return what the parameter ``priority`` means: 1 before 2 and so on, 0 behind them all. Raises InvalidRequest."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MAX_PRIORITY:
        raise InvalidRequest(
            "parameters.priority: must be a whole number, 1 for the most urgent, 0 for none", "invalid_priority"
        )
    return given
