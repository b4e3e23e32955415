"""The Lua that changes a route: each change is one script, so nobody sees half of it.

A script touches only the keys that its call declares. Which rollout a write ends stands in the route's
hash, so a caller cannot know its keys beforehand: WRITE then changes nothing and answers whose keys it
lacks. A route without a rollout, and one that stays in its rollout, is written at the first call.

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


def script(*parts: str) -> Script:
    """Return the script whose text is *parts* in a row."""
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

-- The answer to a call whose entry is not linked to the newest one, or nil.
local function behind(audit, after)
  local newest = redis.call('XREVRANGE', audit, '+', '-', 'COUNT', 1)[1] or {'', {}}
  if newest[1] ~= after then return {'behind', newest[1], newest[2]} end
  return nil
end

local function is_revision(text)
  return #text <= 15 and string.match(text, '^[1-9]%d*$') ~= nil
end

local function is_rollout(text)
  return #text <= 64 and string.match(text, '^[%w._-]+$') ~= nil
end
"""
"""The last 16 entries are enough: a retry follows its first try within a second."""


OUTBOX: Final = """
-- Put notifications, fields of a stream each, behind those that are there. What is no outbox makes room for one.
local function tell(outbox, most, notifications)
  local held = redis.call('TYPE', outbox)['ok']
  if held ~= 'none' and held ~= 'stream' then redis.call('DEL', outbox) end
  for _, fields in ipairs(notifications) do
    local number = 0
    for _, entry in ipairs(redis.call('XREVRANGE', outbox, '+', '-', 'COUNT', 1)) do
      for i = 1, #entry[2], 2 do
        local name, value = entry[2][i], entry[2][i + 1]
        if name == 'number' and #value <= 15 and string.match(value, '^%d+$') then number = tonumber(value) end
      end
    end
    redis.call('XADD', outbox, 'MAXLEN', most, '*', 'number', string.format('%.0f', number + 1), unpack(fields))
  end
end
"""
"""Numbers run on without a gap: whoever reads sees by them what fell out before it was read."""


WRITE: Final = script(
    SHARED,
    OUTBOX,
    """
local route, audit, outbox = KEYS[1], KEYS[2], KEYS[3]
local expected, revision, fresh, given = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local digest, document = ARGV[5], ARGV[6]
local rollout, slots, ending, ending_seconds = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local write_id, keep, channel, model = ARGV[11], ARGV[12], ARGV[13], ARGV[14]
local after, most_told, told_count = ARGV[15], ARGV[16], tonumber(ARGV[17])
local evidence = rollout ~= '' and KEYS[4] or nil
local first_ending = evidence and 5 or 4

local audit_kind = kind(audit)
if audit_kind ~= 'none' and audit_kind ~= 'stream' then return {'corrupt', 'audit', audit_kind} end

local route_kind = kind(route)
local current, incarnation, held_rollout = '-1', fresh, false
if route_kind == 'none' then
  current = '0'
elseif route_kind == 'hash' then
  local held = redis.call('HMGET', route, 'incarnation', 'revision', 'digest', 'rollout')
  held_rollout = held[4]
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

local ended = ''
if held_rollout and held_rollout ~= rollout and is_rollout(held_rollout) then ended = held_rollout end
if ended ~= ending then return {'undeclared', ended} end
local late = behind(audit, after)
if late then return late end
local evidence_kind = evidence and kind(evidence)
if evidence and evidence_kind ~= 'none' and evidence_kind ~= 'hash' then
  return {'corrupt', 'evidence', 'a ' .. evidence_kind}
end

local id = redis.call('XADD', audit, 'MAXLEN', '~', keep, '*',
  'revision', revision, 'incarnation', incarnation, 'write', write_id, unpack(ARGV, 18 + told_count))
local told = {}
for i = 1, told_count do told[i] = {'id', write_id .. '-' .. i, 'payload', ARGV[17 + i]} end
if told_count > 0 then tell(outbox, most_told, told) end
if route_kind ~= 'none' and route_kind ~= 'hash' then redis.call('DEL', route) end
redis.call('HSET', route,
  'incarnation', incarnation, 'revision', revision, 'digest', digest, 'document', document)
if evidence then
  redis.call('HSET', route, 'rollout', rollout)
  local opened = redis.call('HGET', evidence, revision .. '|slots')
  if opened and opened ~= slots then redis.call('DEL', evidence) end
  redis.call('HSET', evidence, revision .. '|slots', slots)
elseif held_rollout then
  redis.call('HDEL', route, 'rollout')
end
for i = first_ending, #KEYS do redis.call('EXPIRE', KEYS[i], ending_seconds) end
redis.pcall('PUBLISH', channel, model)
return {'written', revision, incarnation, id}
""",
)
"""Compare-and-set of a route.

Answers written, conflict, corrupt, undeclared with the rollout that the write ends, or behind.

Behind: the entry is not linked to the newest one, which comes with the answer; nothing was changed.
KEYS: route, audit, outbox, with a fence the evidence of its rollout, then every key of the rollout that ends. What is
told of the write goes into the outbox with it. A revision that
is opened a second time with other slots is one of a route that was repaired: what was counted before is dropped, for
nothing may be compared over two splits.
"""


ORDER: Final = script(
    SHARED,
    """
local route, audit = KEYS[1], KEYS[2]
local version, verb, write_id = ARGV[1], ARGV[2], ARGV[3]
local keep, channel, model, after = ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local audit_kind = kind(audit)
if audit_kind ~= 'none' and audit_kind ~= 'stream' then return {'corrupt', 'audit', audit_kind} end
local route_kind = kind(route)
if route_kind ~= 'none' and route_kind ~= 'hash' then return {'corrupt', 'wrong_type', route_kind} end
if audit_kind == 'stream' and landed(audit, write_id) then return {'written'} end
local late = behind(audit, after)
if late then return late end

local orders = {[version] = verb}
local parsed, held = pcall(cjson.decode, redis.call('HGET', route, 'orders') or '{}')
if parsed and type(held) == 'table' then
  for name, old in pairs(held) do
    if type(name) == 'string' and type(old) == 'string' and name ~= version then orders[name] = old end
  end
end
local revision = redis.call('HGET', route, 'revision') or '0'
if not is_revision(revision) then revision = '0' end

local id = redis.call('XADD', audit, 'MAXLEN', '~', keep, '*',
  'revision', revision, 'version', version, 'write', write_id, unpack(ARGV, 8))
redis.call('HSET', route, 'orders', cjson.encode(orders))
redis.pcall('PUBLISH', channel, model)
return {'written', revision, version, id}
""",
)
"""Record what an operator asked for a version. Orders that cannot be read are dropped: the new one replaces them."""
