"""All that a store holds of its models, as one document, and back.

A model is read by one script, so what the document says of it was true at one moment. Left out is what lasts for
minutes or belongs to callers: answers that wait for a label, labelled rows, samples, leases, links and what replicas
say of themselves.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import GatewayError
from gateway.store.address import Address
from gateway.store.calls import Calls, run_script
from gateway.store.keys import CHANGES, route_key
from gateway.store.records import new_incarnation
from gateway.store.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORMAT: Final = 1
"""Raised when an older release could not restore what a newer one writes."""

CALL_SECONDS: Final = 30.0
"""So long a store may take to read or write one model."""

KEY: Final = re.compile(r"gateway:\{(?P<model>.+)\}:(?P<rest>[^}]+)", re.DOTALL)
KEPT: Final = re.compile(
    r"route|audit|evidence:.+|seen:.+|quality(:.+)?|cohort:.+|assigned|reference:.+|outbox|deliveries|undelivered",
    re.DOTALL,
)
"""What follows the model in keys that are backed up."""

PAIRS: Final = 1_000
"""Fields, members or entries of one command: Lua's stack holds no more than 8,000 words."""

DUMP: Final = script(
    """
local found = {}
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key)['ok']
  local held = {}
  if kind == 'hash' then held = redis.call('HGETALL', key)
  elseif kind == 'set' then held = redis.call('SMEMBERS', key)
  elseif kind == 'string' then held = {redis.call('GET', key)}
  elseif kind == 'stream' then held = redis.call('XRANGE', key, '-', '+') end
  found[i] = {kind, redis.call('PTTL', key), held}
end
return found
"""
)

LOAD: Final = script(
    """
if ARGV[1] ~= 'force' then
  for _, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then return 'used' end
  end
end
for _, key in ipairs(KEYS) do redis.call('DEL', key) end
local at = 4
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + count))
  at = at + count + 1
end
redis.pcall('PUBLISH', ARGV[2], ARGV[3])
return 'written'
"""
)
"""Replace KEYS by what the commands in ARGV write, each after the number of its words. Answers written, or used."""


class BackupRefused(GatewayError):
    """A document, or the store that it is meant for, cannot be used for this."""


class Backups:
    """What is taken out of one store and put into one."""

    def __init__(self, url: str) -> None:
        """Name the store. Raises InvalidSettings for an address that is none."""
        self._calls = Calls(Address.parse(url, CALL_SECONDS))

    async def close(self) -> None:
        """Give back all connections."""
        await self._calls.close()

    async def take(self) -> dict[str, list[dict[str, Any]]]:
        """Return the keys of each model, each with its kind, what it holds and how long it lasts, in milliseconds."""
        keys = await self._keys()
        models: dict[str, list[dict[str, Any]]] = {}
        for model in sorted(keys):
            names = sorted(keys[model])
            async with self._calls.bounded() as ask:
                found = await run_script(ask, DUMP, names, [])
            models[model] = [_key(name, *each) for name, each in zip(names, found, strict=True) if each[0] != b"none"]
        return models

    async def put(self, models: Mapping[str, Sequence[Mapping[str, Any]]], *, force: bool) -> None:
        """Write *models*; each as a whole, and each route under an incarnation of its own, so that gateways follow it.

        Raises BackupRefused, before anything is changed, where the store holds one of them and *force* is not given.
        """
        held = await self._keys()
        used = sorted(held.keys() & models.keys())
        if used and not force:
            raise _used(used)
        for model, keys in models.items():
            names = sorted({key["key"] for key in keys} | held.get(model, set()))
            words: list[Any] = ["force" if force else "", CHANGES, model]
            for command in _commands(model, keys):
                words += [len(command), *command]
            async with self._calls.bounded() as ask:
                if await run_script(ask, LOAD, names, words) != b"written":
                    raise _used([model])

    async def _keys(self) -> dict[str, set[str]]:
        """Return the keys that are backed up, by model."""
        found: dict[str, set[str]] = {}
        for name in await self._calls.names("gateway:{*"):
            match = KEY.fullmatch(name)
            if match and KEPT.fullmatch(match["rest"]):
                found.setdefault(match["model"], set()).add(name)
        return found


def write_document(models: Mapping[str, Any], *, release: str, at: str) -> bytes:
    """Return the document, which ends with the SHA-256 of all before it."""
    body = {"format": FORMAT, "release": release, "at": at, "models": models}
    return json.dumps({**body, "sha256": _digest(body)}, indent=1).encode()


def read_document(text: bytes) -> dict[str, Any]:
    """Return the models of a document. Raises BackupRefused for what is none, was changed, or is newer than this."""
    try:
        body = json.loads(text)
        number, told = body["format"], body.pop("sha256")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise BackupRefused("this is no backup of a gateway, or not all of it; take another") from exc
    if isinstance(number, int) and number > FORMAT:
        release = body.get("release", "a newer release")
        raise BackupRefused(f"this backup has format {number}, written by {release}; restore it with that release")
    if told != _digest(body) or number != FORMAT:
        raise BackupRefused("this backup was changed or damaged since it was written; take another")
    models: dict[str, Any] = body["models"]
    return models


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _used(models: Sequence[str]) -> BackupRefused:
    return BackupRefused(
        f"the store holds {', '.join(map(repr, models[:5]))} already and nothing of that was changed; "
        "restore into an empty store, or replace what is there with --force"
    )


def _key(name: str, kind: bytes, left: int, held: Any) -> dict[str, Any]:
    """Return one key of the document. Bytes that are no text travel as lone surrogates, which JSON escapes."""
    if kind == b"stream":
        held = [[_text(entry), [_text(each) for each in fields]] for entry, fields in held]
    else:
        held = [_text(each) for each in held]
    return {"key": name, "kind": kind.decode(), "left_ms": left if left > 0 else None, "holds": held}


def _commands(model: str, keys: Iterable[Mapping[str, Any]]) -> Iterable[list[Any]]:
    """Yield the commands that write *keys* anew."""
    for key in keys:
        name, holds = key["key"], key["holds"]
        match key["kind"]:
            case "hash":
                yield from _chunks(["HSET", name], holds, 2 * PAIRS)
            case "set":
                yield from _chunks(["SADD", name], holds, PAIRS)
            case "string":
                yield ["SET", name, _bytes(holds[0])]
            case "stream":
                yield from (["XADD", name, entry, *map(_bytes, fields)] for entry, fields in holds)
        if key["left_ms"] is not None:
            yield ["PEXPIRE", name, key["left_ms"]]
        if name == route_key(model) and "incarnation" in holds[::2]:
            yield ["HSET", name, "incarnation", new_incarnation()]


def _chunks(verb: list[Any], words: Sequence[str], size: int) -> Iterable[list[Any]]:
    for start in range(0, len(words), size):
        yield [*verb, *map(_bytes, words[start : start + size])]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
