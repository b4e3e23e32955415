"""Three marks of a route, and what a floor serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.watching import Mark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.serving.fakes import Floor

ONE: Final = Mark("a", 1, "d1")
TWO: Final = Mark("a", 2, "d2")
THREE: Final = Mark("a", 3, "d3")


def served(floor: Floor, model: str = "fraud") -> int | None:
    """Return the revision that is served; None where the model has no route."""
    live = floor.table.routes.get(model)
    return None if live is None else live.revision


def split(floor: Floor, model: str = "fraud") -> Mapping[int, int]:
    """Return the weights that are served."""
    return dict(floor.table.route(model).routing.document.split)
