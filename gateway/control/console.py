"""The web console: the page that browsers get at ``/``, and the files it is made of.

The files lie in ``console/`` beside this module, are read once, and hold no word of any model: all that
is shown comes over the admin API, with the rights of whoever looks.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.control.admin_answers import Call

FILES: Final = Path(__file__).parent / "console"
PAGE: Final = "index.html"
MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Suffix → content type; a file with another suffix is not served."""


@cache
def console_files() -> Mapping[str, tuple[bytes, str]]:
    """Return name → content and content type of every file of the console."""
    return {
        path.name: (path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in sorted(FILES.iterdir())
        if path.suffix in MEDIA_TYPES
    }


async def show_file(call: Call) -> Response:
    """Answer with one of the files by its name; nothing is looked up on the disk."""
    return _file(call.request.path_params["file"])


def show_page() -> Response:
    """Return the console's page."""
    page = _file(PAGE)
    page.headers["vary"] = "accept"
    return page


def wants_page(accept: str) -> bool:
    """Say whether an Accept header is a browser's: it names HTML, where programs name JSON or anything."""
    return any(part.partition(";")[0].strip().lower() == "text/html" for part in accept.split(","))


def _file(name: str) -> Response:
    found = console_files().get(name)
    if found is None:
        raise HTTPException(404, "the console has no such file; open / instead")
    content, media_type = found
    return Response(content, headers={"content-type": media_type})
