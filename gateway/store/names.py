"""Whether the name of a server can be looked up just now.

A lookup that no name server answers takes as long as the resolver pleases, cannot be cancelled, and uvloop waits for
each of them when it closes: a gateway whose names were not answered piled them up and could not be stopped. So one
thread per name asks, whoever else wants to know waits for the same answer, and nothing at the end waits for it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from typing import Final

_under_way: Final[dict[str, asyncio.Future[None]]] = {}
"""Host → what the lookup that is under way comes to."""


async def look_up(host: str, port: int) -> None:
    """Return once *host* was found. Raises OSError when it is not known; waits as long as the resolver does.

    A lookup right after it has its answer at hand, so that connecting by name does not wait.
    """
    if _is_address(host):
        return
    loop = asyncio.get_running_loop()
    found = _under_way.get(host)
    if found is None or found.get_loop() is not loop:
        found = _under_way[host] = loop.create_future()
        threading.Thread(target=_ask, args=(found, host, port), name="gateway-names", daemon=True).start()
    await asyncio.shield(found)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _ask(found: asyncio.Future[None], host: str, port: int) -> None:
    error: OSError | None = None
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        error = exc
    except ValueError as exc:  # what no name can be, such as one of 300 letters: nobody was asked
        error = socket.gaierror(socket.EAI_NONAME, str(exc))
    try:
        found.get_loop().call_soon_threadsafe(_settle, found, host, error)
    except RuntimeError:  # the loop was closed meanwhile: nobody waits any more
        return


def _settle(found: asyncio.Future[None], host: str, error: OSError | None) -> None:
    if _under_way.get(host) is found:
        del _under_way[host]
    if error is None:
        found.set_result(None)
    else:
        found.set_exception(error)
        found.exception()  # who asked may have given up; then nobody reads it
