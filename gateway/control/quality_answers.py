"""The answer of the admin API about the quality of versions: it translates and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse

from gateway.core.quality import ENOUGH_LABELS

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.control.admin_answers import Call

WINDOWS: Final = {"all": None, "24h": 24 * 3600.0, "1h": 3600.0, "5m": 300.0}
"""Name → seconds before now, by when labels came; None is all time."""


async def show_quality(call: Call) -> Response:
    windows = {name: await call.operations.quality(call.model, seconds) for name, seconds in WINDOWS.items()}
    versions = [
        {
            "version": str(version),
            "windows": {
                name: found[version].as_dict() if version in found else None for name, found in windows.items()
            },
        }
        for version in windows["all"]
    ]
    return JSONResponse({"model": call.model, "enough_labels": ENOUGH_LABELS, "versions": versions})
