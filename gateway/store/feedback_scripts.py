"""The Lua that keeps predictions and counts labels: comparisons and sums, no statistics.

As in ``scripts.py`` what can be refused is checked before anything is written.
"""

from __future__ import annotations

from typing import Final

from gateway.store.scripts import Script, script

REMEMBER: Final[Script] = script("""
local quality, milliseconds = KEYS[1], ARGV[1]
local kind = redis.call('TYPE', quality)['ok']
if kind ~= 'none' and kind ~= 'hash' then return kind end
for i = 2, #KEYS do
  local field, version, kept = ARGV[3 * i - 4], ARGV[3 * i - 3], ARGV[3 * i - 2]
  local held = redis.call('TYPE', KEYS[i])['ok']
  if held == 'none' or (held == 'hash' and redis.call('HEXISTS', KEYS[i], field) == 0) then
    redis.call('HSET', KEYS[i], field, kept)
    redis.call('PEXPIRE', KEYS[i], milliseconds)
    if version ~= '' then redis.call('HINCRBY', quality, version .. '|remembered', 1) end
  end
end
for i = 3 * #KEYS - 1, #ARGV, 2 do redis.call('HINCRBY', quality, ARGV[i] .. '|dropped', ARGV[i + 1]) end
return ''
""")
"""Keep predictions under the ids that are free. Answers the kind of a key that counts nothing, or an empty string.

KEYS: quality, then one per prediction. ARGV: milliseconds that they are kept, for each prediction its field
(``served``, or of a copy the version that made it), its version (empty for one that no quality counts) and what is
kept, then pairs of a version and how many of its predictions were dropped.
"""

LABEL: Final[Script] = script("""
local served, fact, text, expiry, most = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
for i = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  if kind ~= 'none' and kind ~= 'hash' then return kind end
end
local held = redis.call('HMGET', served, 'served', fact)
if not held[1] then return 'unknown' end
if held[2] then return held[2] == text and 'duplicate' or 'conflict' end
redis.call('HSET', served, fact, text)
for i = 2, #KEYS do
  local room = most - redis.call('HLEN', KEYS[i])
  for j = 5, #ARGV, 2 do
    local field = ARGV[j]
    local is_cell = string.match(field, '^%d+|cell|') ~= nil
    if is_cell and redis.call('HEXISTS', KEYS[i], field) == 0 then
      if room <= 0 then field = string.match(field, '^%d+') .. '|uncelled' end
      room = room - 1
    end
    if not is_cell and string.match(field, '^%d+|sum_') then
      redis.call('HINCRBYFLOAT', KEYS[i], field, ARGV[j + 1])
    else
      redis.call('HINCRBY', KEYS[i], field, ARGV[j + 1])
    end
  end
end
redis.call('EXPIRE', KEYS[3], expiry)
return 'counted'
""")
"""Say a fact of a prediction and count it, once. Answers counted, duplicate, conflict, unknown, or a wrong kind.

KEYS: prediction, quality of all time, quality of the bucket. ARGV: fact, its text, seconds that the bucket is kept, the
most fields of a hash, then pairs of a field and what is added to it.
"""
