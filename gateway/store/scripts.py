"""The Lua that changes a route: each change is one script, so nobody sees half of it.

Only commands of Redis 6.2. Redis does not undo a script that fails halfway, therefore: first
everything is checked, then the audit entry is added (what can be refused for want of memory or
by a wrong type is refused there), then the route is set. Publishing comes last and may fail:
it is a nudge, and a user whose ACL forbids the channel still gets the write.

Revisions travel as decimal strings and are compared as such: Lua's numbers are doubles.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the digest by which the server knows it."""

    text: str
    sha: str


def _script(*parts: str) -> Script:
    text = "".join(parts)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


SHARED: Final = """
local function kind(key)
  return redis.call('TYPE', key)['ok']
end

-- The entry that this very call left behind when its reply was lost, or nil.
local function landed(audit, write_id)
  for _, entry in ipairs(redis.call('XREVRANGE', audit, '+', '-', 'COUNT', 16)) do
    local fields = {}
    for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
    if fields['write'] == write_id then return fields end
  end
  return nil
end

local function is_revision(text)
  return #text <= 15 and string.match(text, '^[1-9]%d*$') ~= nil
end
"""
"""The last 16 entries are enough: a retry follows its first try within a second."""


WRITE: Final = _script(
    SHARED,
    """
local route, audit = KEYS[1], KEYS[2]
local expected, revision, fresh, given = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local digest, document, write_id = ARGV[5], ARGV[6], ARGV[7]
local keep, channel, model = ARGV[8], ARGV[9], ARGV[10]

local audit_kind = kind(audit)
if audit_kind ~= 'none' and audit_kind ~= 'stream' then return {'corrupt', 'audit', audit_kind} end

local route_kind = kind(route)
local current, incarnation = '-1', fresh
if route_kind == 'none' then
  current = '0'
elseif route_kind == 'hash' then
  local held = redis.call('HMGET', route, 'incarnation', 'revision', 'digest')
  local held_incarnation, held_revision, held_digest = held[1], held[2], held[3]
  if not (held_incarnation or held_revision or held_digest) then
    current = '0'
  elseif held_incarnation and held_revision and held_digest
    and #held_incarnation <= 64 and string.match(held_incarnation, '^[%w_-]+$')
    and #held_digest == 64 and string.match(held_digest, '^[0-9a-f]+$')
    and is_revision(held_revision) then
    current, incarnation = held_revision, held_incarnation
  end
end

if current ~= expected then
  local mine = audit_kind == 'stream' and landed(audit, write_id)
  if mine then return {'written', mine['revision'], mine['incarnation']} end
  return {'conflict', current}
end
if given ~= '' then incarnation = given end

redis.call('XADD', audit, 'MAXLEN', '~', keep, '*',
  'revision', revision, 'incarnation', incarnation, 'write', write_id, unpack(ARGV, 11))
if route_kind ~= 'none' and route_kind ~= 'hash' then redis.call('DEL', route) end
redis.call('HSET', route,
  'incarnation', incarnation, 'revision', revision, 'digest', digest, 'document', document)
redis.pcall('PUBLISH', channel, model)
return {'written', revision, incarnation}
""",
)
"""Compare-and-set of a route. Answers written, conflict or corrupt."""


ORDER: Final = _script(
    SHARED,
    """
local route, audit = KEYS[1], KEYS[2]
local version, verb, write_id = ARGV[1], ARGV[2], ARGV[3]
local keep, channel, model = ARGV[4], ARGV[5], ARGV[6]

local audit_kind = kind(audit)
if audit_kind ~= 'none' and audit_kind ~= 'stream' then return {'corrupt', 'audit', audit_kind} end
local route_kind = kind(route)
if route_kind ~= 'none' and route_kind ~= 'hash' then return {'corrupt', 'wrong_type', route_kind} end
if audit_kind == 'stream' and landed(audit, write_id) then return {'written'} end

local orders = {[version] = verb}
local parsed, held = pcall(cjson.decode, redis.call('HGET', route, 'orders') or '{}')
if parsed and type(held) == 'table' then
  for name, old in pairs(held) do
    if type(name) == 'string' and type(old) == 'string' and name ~= version then orders[name] = old end
  end
end
local revision = redis.call('HGET', route, 'revision') or '0'
if not is_revision(revision) then revision = '0' end

redis.call('XADD', audit, 'MAXLEN', '~', keep, '*',
  'revision', revision, 'version', version, 'write', write_id, unpack(ARGV, 7))
redis.call('HSET', route, 'orders', cjson.encode(orders))
redis.pcall('PUBLISH', channel, model)
return {'written'}
""",
)
"""Record what an operator asked for a version. Orders that cannot be read are dropped: the new one replaces them."""
