"""What a replica may say in the store, and the script that says it for one and reads it of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.ports.store import REPLICA_BYTES
from gateway.store.evidence_records import check_name
from gateway.store.scripts import script

if TYPE_CHECKING:
    from gateway.store.scripts import Script

ANNOUNCE: Final[Script] = script("""
local replicas, replica, words, milliseconds = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local kind = redis.call('TYPE', replicas)['ok']
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', replicas) end

local ends = string.format('%.0f', now + milliseconds)
local last = now + milliseconds
local said = {}
local held = redis.call('HGETALL', replicas)
for i = 1, #held, 2 do
  local til, its_words = string.match(held[i + 1], '^(%d+) (.*)$')
  if held[i] ~= replica then
    if til and #til <= 15 and tonumber(til) > now then
      last = math.max(last, tonumber(til))
      said[#said + 1] = held[i]
      said[#said + 1] = its_words
    else
      redis.call('HDEL', replicas, held[i])
    end
  end
end
redis.call('HSET', replicas, replica, ends .. ' ' .. words)
redis.call('PEXPIRE', replicas, string.format('%.0f', last - now))
said[#said + 1] = replica
said[#said + 1] = words
return said
""")
"""Say what one replica has, forget those that fell silent, and answer what all say: names and words in turn.

KEYS: the hash of all replicas. ARGV: replica, words, milliseconds. A value is when its words end, milliseconds since
the epoch by the server's clock, and the words. What holds no hash, or another value, is nobody's word and goes.
"""


def check_words(replica: str, words: str) -> None:
    """Raise ValueError for a name that is none, or for words that are too long."""
    check_name(replica)
    size = len(words.encode())
    if size > REPLICA_BYTES:
        raise ValueError(f"a replica may say {REPLICA_BYTES} bytes, not {size}")
