"""The Lua that hands out labelled answers: to one consumer of a group each, until that one acknowledges it."""

from __future__ import annotations

from typing import Final

from gateway.store.scripts import script

READ: Final = script("""
local stream, group, consumer, count, idle = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kind = redis.call('TYPE', stream)['ok']
if kind == 'none' then return {} end
if kind ~= 'stream' then return kind end

local function ask(call, from)
  return call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, from)
end

-- Those that are still in the stream; the others were trimmed away before they were acknowledged. From Redis 7 on
-- XAUTOCLAIM forgets these by itself.
local function there(entries)
  local found = {}
  for _, entry in ipairs(entries) do
    if entry and entry[2] then found[#found + 1] = entry
    elseif entry then redis.call('XACK', stream, group, entry[1]) end
  end
  return found
end

local own = ask(redis.pcall, '0')
if own and own['err'] then
  if string.sub(own['err'], 1, 7) ~= 'NOGROUP' then return own end
  redis.call('XGROUP', 'CREATE', stream, group, '0')
  own = false
end
local found = own and there(own[1][2]) or {}
local cursor = '0-0'
while #found == 0 do
  local left = redis.call('XAUTOCLAIM', stream, group, consumer, idle, cursor, 'COUNT', count)
  cursor, found = left[1], there(left[2])
  if cursor == '0-0' then break end
end
if #found == 0 then
  local fresh = ask(redis.call, '>')
  if fresh then found = fresh[1][2] end
end
return found
""")
"""Answers entries, each an id and a list of fields and values; or the kind of a key that is no stream.

KEYS: labelled. ARGV: group, consumer, how many, milliseconds after which what another one left is taken over.
"""
