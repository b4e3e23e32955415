"""The Lua that counts for a rollout, and the lease: sums and comparisons, no statistics.

As in ``scripts.py`` everything is checked before anything is written. Counts stay strings, since Lua's
numbers are doubles: the server itself adds them, as integers of 64 bits.
"""

from __future__ import annotations

from typing import Final

from gateway.store.scripts import Script, script

FLUSH: Final[Script] = script("""
local route, evidence = KEYS[1], KEYS[2]
local rollout, seq_field, seq, seen_most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local at = 4

local function next_word()
  at = at + 1
  return ARGV[at]
end

local function kind(key)
  return redis.call('TYPE', key)['ok']
end

local route_kind = kind(route)
if route_kind ~= 'none' and route_kind ~= 'hash' then return {'corrupt', 'wrong_type', route_kind} end
if route_kind == 'none' or redis.call('HGET', route, 'rollout') ~= rollout then return {'stale'} end
local evidence_kind = kind(evidence)
if evidence_kind == 'none' then return {'stale'} end
if evidence_kind ~= 'hash' then return {'corrupt', 'evidence', 'a ' .. evidence_kind} end
for i = 3, #KEYS do
  local seen_kind = kind(KEYS[i])
  if seen_kind ~= 'none' and seen_kind ~= 'set' then return {'corrupt', 'evidence', 'a ' .. seen_kind} end
end
for _ = 1, tonumber(next_word()) do
  if redis.call('HEXISTS', evidence, next_word() .. '|slots') == 0 then return {'stale'} end
end

local function readable(field)
  local held = redis.call('HGET', evidence, field)
  return not held or #held <= 17 and string.match(held, '^%d+$')
end

if not readable(seq_field) then return {'corrupt', 'evidence', 'field ' .. seq_field} end
local last = redis.call('HGET', evidence, seq_field)
if last and tonumber(seq) <= tonumber(last) then return {'totals', redis.call('HGETALL', evidence)} end

local counts, sightings = {}, {}
for i = 1, tonumber(next_word()) do
  counts[i] = {next_word(), next_word()}
  if not readable(counts[i][1]) then return {'corrupt', 'evidence', 'field ' .. counts[i][1]} end
end
for i = 1, tonumber(next_word()) do
  local sighting = {field = next_word(), seen = KEYS[tonumber(next_word())], points = {}}
  if not readable(sighting.field) then return {'corrupt', 'evidence', 'field ' .. sighting.field} end
  for j = 1, tonumber(next_word()) do sighting.points[j] = next_word() end
  sightings[i] = sighting
end

redis.call('HSET', evidence, seq_field, seq)
for _, count in ipairs(counts) do redis.call('HINCRBY', evidence, count[1], count[2]) end
for _, sighting in ipairs(sightings) do
  local room, is_new = seen_most - redis.call('SCARD', sighting.seen), false
  for _, point in ipairs(sighting.points) do
    if room > 0 and redis.call('SADD', sighting.seen, point) == 1 then
      room, is_new = room - 1, true
    end
  end
  if is_new then redis.call('HINCRBY', evidence, sighting.field, 1) end
end
return {'totals', redis.call('HGETALL', evidence)}
""")
"""Add what a worker counted, once. Answers totals, stale or corrupt.

KEYS: route, evidence, then one set of points for each kind that was sighted. ARGV: rollout, seq field, seq, the most
points of a kind; then, each list after its length: revisions, pairs of field and count, and sightings, which are
field, number of its key, and the list of points.
"""


LEASE: Final[Script] = script("""
local lease, holder, milliseconds = KEYS[1], ARGV[1], ARGV[2]
if redis.call('TYPE', lease)['ok'] == 'string' and redis.call('PTTL', lease) > 0
  and redis.call('GET', lease) ~= holder then
  return 0
end
redis.call('SET', lease, holder, 'PX', milliseconds)
return 1
""")
"""Take or renew a lease. What holds no holder, or would never end, is no lease."""
