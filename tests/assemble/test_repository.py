"""Who is let in to load and unload, by the settings."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.assemble.repository import LateTokenFile, repository_control
from gateway.core.errors import Forbidden, Unauthenticated
from gateway.ports.workers import Caller
from gateway.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.ports.workers import RepositoryControl

HERE = Caller("127.0.0.1", {"host": "localhost"})
NOTHING = cast("Any", None)


async def control(**settings: Any) -> RepositoryControl:
    return repository_control(Settings(**settings), NOTHING, NOTHING, cast("Any", _NoCatalog()), NOTHING)


class _NoCatalog:
    async def refresh(self) -> None:
        """Look at nothing."""


async def test_orders_are_closed_unless_the_setting_opens_them() -> None:
    with pytest.raises(Forbidden, match="--repository-control"):
        (await control()).admit(HERE, "fraud")

    assert (await control(repository_control=True)).admit(HERE, "fraud") == "local"


async def test_where_tokens_are_configured_this_machine_needs_one_too(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    entry = {"name": "ann", "role": "operator", "sha256": hashlib.sha256(b"secret").hexdigest()}
    tokens.write_text(json.dumps({"tokens": [entry]}))
    orders = await control(repository_control=True, admin_token_file=tokens)

    with pytest.raises(Unauthenticated):
        orders.admit(HERE, "fraud")

    assert orders.admit(Caller("10.0.0.9", {"authorization": "Bearer secret"}), "fraud") == "ann"


def test_a_token_file_that_cannot_be_read_lets_nobody_in_until_it_can(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    door = LateTokenFile(tokens)
    headers = {"authorization": "Bearer secret"}

    with pytest.raises(Forbidden, match="nobody is let in"):
        door.identify("127.0.0.1", headers)
    entry = {"name": "ann", "role": "viewer", "sha256": hashlib.sha256(b"secret").hexdigest()}
    tokens.write_text(json.dumps({"tokens": [entry]}))

    assert door.identify("127.0.0.1", headers).name == "ann"
