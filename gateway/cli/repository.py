"""The ``--models`` of commands that work on versions without a gateway: a directory, or an object store."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.errors import CommandMisused
from gateway.settings import store_url

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from gateway.models.working_copy import WorkingCopy


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the flag."""
    parser.add_argument("--models", type=Path, default=Path("models"), metavar="DIR|URL",
                        help="the repository, or the address of one such as s3://bucket/models [./models]")  # fmt: skip


@contextmanager
def opened(models: Path) -> Iterator[WorkingCopy]:
    """Yield the repository that ``--models`` names; what was fetched of a store goes at the end."""
    from gateway.models.working_copy import Directory, Fetched

    url = store_url(models)
    if not url:
        yield Directory(models)
        return
    from gateway.models.objects import ObjectStore

    with tempfile.TemporaryDirectory(prefix="gateway-models-", ignore_cleanup_errors=True) as root:
        yield Fetched(ObjectStore(url), Path(root))


def need(copy: WorkingCopy, model: str, version: int) -> Path:
    """Return the directory of a version with its files. Raises CommandMisused where there is none, StoreAway."""
    if not copy.fetch(model, version):
        raise CommandMisused(
            f"there is no version {version} of {model} in {copy.name}; name another one, or another repository with "
            f"--models"
        )
    return copy.root / model / str(version)
