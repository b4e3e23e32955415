"""The Lua that keeps predictions and counts labels: comparisons and sums, no statistics.

As in ``scripts.py`` what can be refused is checked before anything is written. The entry of a labelled answer is what
can be refused last, for want of memory, so it comes before the note that the label was said.
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
  local field, version, kept, under, inputs = unpack(ARGV, 5 * i - 12, 5 * i - 8)
  local held = redis.call('TYPE', KEYS[i])['ok']
  if held == 'none' or (held == 'hash' and redis.call('HEXISTS', KEYS[i], field) == 0) then
    redis.call('HSET', KEYS[i], field, kept)
    if inputs ~= '' then redis.call('HSET', KEYS[i], 'inputs', inputs) end
    redis.call('PEXPIRE', KEYS[i], milliseconds)
    if version ~= '' then redis.call('HINCRBY', quality, version .. '|remembered', 1) end
    if under ~= '' and (redis.call('HLEN', assigned) < most or redis.call('HEXISTS', assigned, under) == 1) then
      redis.call('HINCRBY', assigned, under, 1)
    end
  end
end
for i = 5 * #KEYS - 7, #ARGV, 2 do redis.call('HINCRBY', quality, ARGV[i], ARGV[i + 1]) end
return ''
""")
"""Keep predictions under the ids that are free. Answers the kind of a key that counts nothing, or an empty string.

KEYS: quality, assigned, then one per prediction. ARGV: milliseconds that they are kept, the most fields of assigned,
for each prediction its field (``served``, or of a copy the version that made it), its version (empty for one that no
quality counts), what is kept, its field of assigned (empty for none) and its inputs (empty for none), then pairs of a
field of quality and what is added to it for what was dropped.
"""

LABEL: Final[Script] = script("""
local served, labelled, fact, text, most = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
local own, words = tonumber(ARGV[4]), tonumber(ARGV[6])
local cohort, kept = own > 0 and #KEYS or 0, 7 + words
local counts = kept + #KEYS - 3
local ours = counts + 2 * own
for i = 3, #KEYS do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  if kind ~= 'none' and kind ~= 'hash' then return kind end
end
local held = redis.call('HMGET', served, 'served', fact, 'inputs')
if not held[1] then return 'unknown' end
if held[2] then return held[2] == text and 'duplicate' or 'conflict' end
if held[3] and words > 0 then
  local kind = redis.call('TYPE', labelled)['ok']
  if kind ~= 'none' and kind ~= 'stream' then return kind end
  local now, space = redis.call('TIME'), string.find(held[3], ' ', 1, true)
  local at = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
  local fields = {unpack(ARGV, 7, 6 + words)}
  for _, each in ipairs({'at', at, 'inputs', string.sub(held[3], space + 1)}) do fields[#fields + 1] = each end
  redis.call('XADD', labelled, 'MAXLEN', '~', string.sub(held[3], 1, space - 1), '*', unpack(fields))
  redis.call('EXPIRE', labelled, ARGV[5])
end
redis.call('HSET', served, fact, text)
local is_cell, add = {}, {}
for j = counts, #ARGV, 2 do
  is_cell[j] = string.match(ARGV[j], '^%d+|cell|') ~= nil
  add[j] = not is_cell[j] and string.match(ARGV[j], '|sum_[a-z_]+$') and 'HINCRBYFLOAT' or 'HINCRBY'
end
for i = 3, #KEYS do
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
for i = 4, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[kept + i - 4]) end
return 'counted'
""")
"""Say a fact of a prediction and count it, once. Answers counted, duplicate, conflict, unknown, or a wrong kind.

KEYS: prediction, labelled, quality of all time, quality of each bucket, the cohort of the answer where it has one.
ARGV: fact, its text, the most fields of a hash, how many pairs are the cohort's, seconds that labelled answers are
kept, how many words of an entry follow and those words (the entry goes there where the answer's inputs are kept),
seconds that each bucket and the cohort are kept, then pairs of a field and what is added to it, the cohort's first. A
cohort that is full takes no new field.
"""
