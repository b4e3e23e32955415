"""The Lua that keeps predictions and counts labels: comparisons and sums, no statistics.

As in ``scripts.py`` what can be refused is checked before anything is written.
"""

from __future__ import annotations

from typing import Final

from gateway.store.scripts import Script, script

REMEMBER: Final[Script] = script("""
local quality, assigned, milliseconds, most = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
for i = 1, 2 do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  if kind ~= 'none' and kind ~= 'hash' then return kind end
end
for i = 3, #KEYS do
  local field, version, kept, under = unpack(ARGV, 4 * i - 9, 4 * i - 6)
  local held = redis.call('TYPE', KEYS[i])['ok']
  if held == 'none' or (held == 'hash' and redis.call('HEXISTS', KEYS[i], field) == 0) then
    redis.call('HSET', KEYS[i], field, kept)
    redis.call('PEXPIRE', KEYS[i], milliseconds)
    if version ~= '' then redis.call('HINCRBY', quality, version .. '|remembered', 1) end
    if under ~= '' and (redis.call('HLEN', assigned) < most or redis.call('HEXISTS', assigned, under) == 1) then
      redis.call('HINCRBY', assigned, under, 1)
    end
  end
end
for i = 4 * #KEYS - 5, #ARGV, 2 do redis.call('HINCRBY', quality, ARGV[i] .. '|dropped', ARGV[i + 1]) end
return ''
""")
"""Keep predictions under the ids that are free. Answers the kind of a key that counts nothing, or an empty string.

KEYS: quality, assigned, then one per prediction. ARGV: milliseconds that they are kept, the most fields of assigned,
for each prediction its field (``served``, or of a copy the version that made it), its version (empty for one that no
quality counts), what is kept and its field of assigned (empty for none), then pairs of a version and how many of its
predictions were dropped.
"""

LABEL: Final[Script] = script("""
local served, fact, text, most, own = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local cohort, kept = own > 0 and #KEYS or 0, 5
local counts = kept + #KEYS - 2
local ours = counts + 2 * own
for i = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  if kind ~= 'none' and kind ~= 'hash' then return kind end
end
local held = redis.call('HMGET', served, 'served', fact)
if not held[1] then return 'unknown' end
if held[2] then return held[2] == text and 'duplicate' or 'conflict' end
redis.call('HSET', served, fact, text)
local is_cell, add = {}, {}
for j = counts, #ARGV, 2 do
  is_cell[j] = string.match(ARGV[j], '^%d+|cell|') ~= nil
  add[j] = not is_cell[j] and string.match(ARGV[j], '|sum_[a-z_]+$') and 'HINCRBYFLOAT' or 'HINCRBY'
end
for i = 2, #KEYS do
  local room = most - redis.call('HLEN', KEYS[i])
  for j = i == cohort and counts or ours, i == cohort and ours - 2 or #ARGV, 2 do
    local field = ARGV[j]
    if is_cell[j] and redis.call('HEXISTS', KEYS[i], field) == 0 then
      if room <= 0 then field = string.match(field, '^%d+') .. '|uncelled' end
      room = room - 1
    end
    if i ~= cohort or room > 0 or redis.call('HEXISTS', KEYS[i], field) == 1 then
      redis.call(add[j], KEYS[i], field, ARGV[j + 1])
    end
  end
end
for i = 3, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[kept + i - 3]) end
return 'counted'
""")
"""Say a fact of a prediction and count it, once. Answers counted, duplicate, conflict, unknown, or a wrong kind.

KEYS: prediction, quality of all time, quality of each bucket, the cohort of the answer where it has one. ARGV: fact,
its text, the most fields of a hash, how many pairs are the cohort's, seconds that each bucket and the cohort are kept,
then pairs of a field and what is added to it, the cohort's first. A cohort that is full takes no new field.
"""
