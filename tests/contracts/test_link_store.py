"""What every store does with the links of notifications."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.ports.notifications import KeptLink, digest_of_link

if TYPE_CHECKING:
    from gateway.ports.notifications import LinkStore

DIGEST = digest_of_link("token")


async def test_what_is_kept_is_found_under_its_model_only(store: LinkStore, model: str) -> None:
    await store.keep_link(model, DIGEST, b"offer")

    assert await store.link(model, DIGEST) == KeptLink(b"offer", is_late=False, is_used=False)
    assert await store.link(model, digest_of_link("another")) is None
    assert await store.link(f"{model}-2", DIGEST) is None


async def test_of_many_at_once_one_takes_it(store: LinkStore, model: str) -> None:
    await store.keep_link(model, DIGEST, b"offer")

    took = await asyncio.gather(*(store.take_link(model, DIGEST) for _ in range(10)))

    kept = await store.link(model, DIGEST)
    assert sorted(took) == [False] * 9 + [True]
    assert kept is not None
    assert kept.is_used


async def test_what_is_given_back_can_be_taken_again(store: LinkStore, model: str) -> None:
    await store.keep_link(model, DIGEST, b"offer")
    assert await store.take_link(model, DIGEST)

    await store.give_link_back(model, DIGEST)

    assert await store.link(model, DIGEST) == KeptLink(b"offer", is_late=False, is_used=False)
    assert await store.take_link(model, DIGEST)
