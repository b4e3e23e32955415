"""Builds what takes load and unload orders on the inference ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.auth import LoopbackDoor
from gateway.control.inference_orders import ClosedDoor, InferenceOrders
from gateway.control.operations import Operations
from gateway.control.token_file import TokenFile
from gateway.core.errors import Forbidden, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from gateway.control.auth import Door, Principal
    from gateway.models.catalog import Catalog
    from gateway.ports.routes import LastGood
    from gateway.ports.store import Store
    from gateway.ports.workers import RepositoryControl, Workers
    from gateway.settings import Settings


def repository_control(
    settings: Settings, store: Store, workers: Workers, catalog: Catalog, last_good: LastGood
) -> RepositoryControl:
    """Return what answers load and unload in a worker; it refuses everybody unless the settings allow orders there."""

    def known() -> Mapping[str, Collection[int]]:
        found: dict[str, set[int]] = {}
        for status in catalog.statuses():
            found.setdefault(status.model, set()).add(status.version)
        return found

    operations = Operations(store, workers, known, last_good)
    return InferenceOrders(operations, workers, _door(settings), catalog.refresh)


def _door(settings: Settings) -> Door:
    if not settings.repository_control:
        return ClosedDoor()
    return LateTokenFile(settings.admin_token_file) if settings.admin_token_file else LoopbackDoor()


class LateTokenFile:
    """Reads the token file for the first caller: a worker that is replaced starts whatever became of that file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._door: TokenFile | None = None

    def identify(self, address: str | None, headers: Mapping[str, str]) -> Principal:
        if self._door is None:
            try:
                self._door = TokenFile(self._path)
            except InvalidSettings as exc:
                raise Forbidden(f"nobody is let in: {exc}") from exc
        return self._door.identify(address, headers)
