"""The Lua that hands out what is to be told: one notification at a time per target, in order, to one courier.

How far a target was told stands in the hash of deliveries, in fields ``TARGET|at`` (the last entry that it is done
with), ``TARGET|number`` (its number), ``TARGET|token`` and ``TARGET|until`` (whose claim, and its end), ``TARGET|due``
and ``TARGET|attempts``. Times are milliseconds of the server's clock since the epoch.
"""

from __future__ import annotations

from typing import Final

from gateway.store.scripts import OUTBOX, script

PLACE: Final = """
local function fields_of(entry)
  local found = {}
  for i = 1, #entry[2], 2 do found[entry[2][i]] = entry[2][i + 1] end
  return found
end

-- The number that we wrote; what is none of ours is nothing.
local function whole(written)
  if written and #written <= 15 and string.match(written, '^%d+$') then return tonumber(written) end
  return nil
end

local function text(number)
  return string.format('%.0f', number)
end

local function milliseconds_of(id)
  return whole(string.match(id or '', '^(%d+)-')) or 0
end

-- What is under a key of ours and of another kind makes room.
local function only(key, wanted)
  local kind = redis.call('TYPE', key)['ok']
  if kind ~= 'none' and kind ~= wanted then redis.call('DEL', key) end
end

local function clock()
  local parts = redis.call('TIME')
  return tonumber(parts[1]) * 1000 + math.floor(tonumber(parts[2]) / 1000)
end

-- Where a target stands; one that was never here begins a little before now.
local function place_of(deliveries, target, now, fresh)
  local held = redis.call('HMGET', deliveries,
    target .. '|at', target .. '|number', target .. '|until', target .. '|due', target .. '|attempts')
  local at = held[1]
  if not at or not string.match(at, '^%d+-%d+$') then
    at = text(math.max(0, now - fresh)) .. '-0'
    redis.call('HSET', deliveries, target .. '|at', at)
  end
  return {
    at = at, number = whole(held[2]), held_until = whole(held[3]) or 0,
    due = whole(held[4]) or 0, attempts = whole(held[5]) or 0,
  }
end

local function next_of(outbox, place)
  return redis.call('XRANGE', outbox, '(' .. place.at, '+', 'COUNT', 1)[1]
end
"""

BACKLOG: Final = script(
    PLACE,
    """
local outbox, deliveries, fresh = KEYS[1], KEYS[2], tonumber(ARGV[1])
only(outbox, 'stream')
only(deliveries, 'hash')
local now, found = clock(), {}
local last = redis.call('XREVRANGE', outbox, '+', '-', 'COUNT', 1)[1]
for i = 2, #ARGV do
  local place = place_of(deliveries, ARGV[i], now, fresh)
  local first = last and next_of(outbox, place)
  local waiting, age = 0, 0
  if first then
    local from = whole(fields_of(first)['number']) or 0
    waiting = math.max(1, (whole(fields_of(last)['number']) or 0) - from + 1)
    age = math.max(0, now - milliseconds_of(first[1]))
  end
  local is_due = first and place.due <= now and place.held_until <= now
  found[#found + 1] = {text(waiting), text(age), is_due and 1 or 0}
end
return found
""",
)
"""Answers for each target how many wait, the age of the first in milliseconds, and whether it may be claimed now.

KEYS: outbox, deliveries. ARGV: how far back a new target begins, the targets.
"""

CLAIM: Final = script(
    PLACE,
    """
local outbox, deliveries, target, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
only(outbox, 'stream')
only(deliveries, 'hash')
local now = clock()
local place = place_of(deliveries, target, now, tonumber(ARGV[4]))
if place.held_until > now or place.due > now then return false end
local entry = next_of(outbox, place)
if not entry then return false end
local fields = fields_of(entry)
local number, lost = whole(fields['number']) or 0, 0
if place.number and number > place.number + 1 then lost = number - place.number - 1 end
redis.call('HSET', deliveries, target .. '|token', token, target .. '|until', text(now + tonumber(ARGV[3])),
  target .. '|number', text(math.max(0, number - 1)))
local at = whole(fields['at']) or milliseconds_of(entry[1])
return {entry[1], text(number), fields['id'] or '', fields['payload'] or '', fields['target'] or '',
  text(at), text(math.max(0, now - milliseconds_of(entry[1]))), text(place.attempts), text(lost)}
""",
)
"""Take the next entry for a target. Answers nothing where there is none, it is claimed, or its time has not come.

KEYS: outbox, deliveries. ARGV: target, token, for how long, how far back a new target begins.
"""

SETTLE: Final = script(
    PLACE,
    """
local deliveries, undelivered = KEYS[1], KEYS[2]
local target, token, entry, number, again, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
only(deliveries, 'hash')
if redis.call('HGET', deliveries, target .. '|token') ~= token then return 0 end
if again ~= '' then
  local attempts = whole(redis.call('HGET', deliveries, target .. '|attempts')) or 0
  redis.call('HSET', deliveries, target .. '|attempts', text(attempts + 1),
    target .. '|due', text(clock() + tonumber(again)))
else
  if #ARGV > 6 then
    only(undelivered, 'stream')
    redis.call('XADD', undelivered, 'MAXLEN', most, '*', 'target', target, unpack(ARGV, 7))
  end
  redis.call('HSET', deliveries, target .. '|at', entry, target .. '|number', number)
  redis.call('HDEL', deliveries, target .. '|due', target .. '|attempts')
end
redis.call('HDEL', deliveries, target .. '|token', target .. '|until')
return 1
""",
)
"""End a claim, if it is still held. Answers 1, or 0 where another one was made since.

KEYS: deliveries, undelivered. ARGV: target, token, entry, its number, milliseconds until the next attempt or nothing,
the most that is kept of what was given up, and then its fields where this is.
"""

TELL: Final = script(
    OUTBOX,
    """
local pairs_told = {}
for i = 2, #ARGV do pairs_told[i - 1] = ARGV[i] end
tell(KEYS[1], ARGV[1], {pairs_told})
return 1
""",
)
"""Put one notification into the outbox. KEYS: outbox. ARGV: the most that it holds, the fields."""

AGAIN: Final = script(
    OUTBOX,
    PLACE,
    """
local outbox, undelivered, most, key = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
only(undelivered, 'stream')
local entry = redis.call('XRANGE', undelivered, key, key)[1]
if not entry then return 0 end
local fields = fields_of(entry)
tell(outbox, most, {{'id', fields['id'] or '', 'payload', fields['payload'] or '', 'at', fields['at'] or '0',
  'target', fields['target'] or ''}})
redis.call('XDEL', undelivered, key)
return 1
""",
)
"""Put what was given up back into the outbox, for its target. Answers 0 where it is not there.

KEYS: outbox, undelivered. ARGV: the most that the outbox holds, the entry.
"""
