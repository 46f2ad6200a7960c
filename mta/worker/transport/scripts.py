"""What Redis does in one step: taking messages, and putting them back.

Both leave the keys as kombu's own Redis transport has them, so that its workers,
its sweep and Flower read them as ever. One thing is new: beside every queue stands
its *bell*, a short-lived list. A publisher pushes a token after its messages, and
who waits for work waits for a token, never for a message: dying while waiting
loses nothing.
"""

from hashlib import sha1
from typing import NamedTuple

# A bell matters only to who waits right now; others look by themselves.
BELL_TTL_S = 60
# Messages in a row that one of lower priority lets pass: every fifth is its own.
STREAK = 4


class Script(NamedTuple):
    """A Lua script and the name Redis knows it by."""

    text: str
    digest: str


def _script(text: str) -> Script:
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


# Takes up to ARGV[1] messages and records them as delivered but not acknowledged.
#
# KEYS: unacked, unacked_index; each queue's bell; each queue's list of the first
#     priority step, then of the second...
# ARGV: how many; the time, for the sweep; the streak of the first step so far; the
#     queue last taken from in the first step, and in the others; the number of
#     queues; the bells' TTL; the longest streak.
# Returns: whether something is left; the streak; the queue last taken from in the
#     first step, and in the others; then the number of a queue, the delivery tag (empty
#     if it has none, and was not recorded) and a message, as often as there are.
TAKE = _script("""
local wanted, now, streak = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
-- One turn for both would meet the same queues in the same step again and again.
local turns = {tonumber(ARGV[4]), tonumber(ARGV[5])}
local queues, longest = tonumber(ARGV[6]), tonumber(ARGV[8])
local steps = (#KEYS - 2) / queues - 1
local is_empty = {}

local function pop(step)
  local line = math.min(step, 2)
  for _ = 1, queues do
    local queue = turns[line] % queues + 1
    turns[line] = queue
    local at = 2 + step * queues + queue
    if not is_empty[at] then
      local message = redis.call('RPOP', KEYS[at])
      if message then return message, queue end
      is_empty[at] = true
    end
  end
end

local function pop_lower()
  for step = 2, steps do
    local message, queue = pop(step)
    if message then
      streak = 0
      return message, queue
    end
  end
end

local function pop_next()
  local message, queue
  if streak >= longest then
    message, queue = pop_lower()
    if message then return message, queue end
  end
  message, queue = pop(1)
  if message then
    streak = math.min(streak + 1, longest)
    return message, queue
  end
  return pop_lower()
end

-- Built from the text as it is: encoding it again would spoil empty arrays.
local function record(message)
  local is_json, content = pcall(cjson.decode, message)
  local properties = is_json and type(content) == 'table' and content.properties
  local tag = type(properties) == 'table' and properties.delivery_tag
  if type(tag) ~= 'string' then return '' end
  local info = type(properties.delivery_info) == 'table' and properties.delivery_info
  local exchange = info and info.exchange or ''
  local routing_key = info and info.routing_key or ''
  if type(exchange) ~= 'string' then exchange = '' end
  if type(routing_key) ~= 'string' then routing_key = '' end
  redis.call('HSET', KEYS[1], tag, '[' .. message .. ',' .. cjson.encode(exchange)
    .. ',' .. cjson.encode(routing_key) .. ']')
  redis.call('ZADD', KEYS[2], now, tag)
  return tag
end

local taken = {0, 0, 0, 0}
for _ = 1, wanted do
  local message, queue = pop_next()
  if not message then break end
  taken[#taken + 1] = queue
  taken[#taken + 1] = record(message)
  taken[#taken + 1] = message
end
for queue = 1, queues do
  local bell, left = KEYS[2 + queue], 0
  for step = 1, steps do
    local at = 2 + step * queues + queue
    if not is_empty[at] then left = left + redis.call('LLEN', KEYS[at]) end
  end
  if left == 0 then
    redis.call('DEL', bell)
  else
    taken[1] = 1
    redis.call('LTRIM', bell, 0, left - 1)
    if redis.call('LLEN', bell) == 0 then
      redis.call('LPUSH', bell, 1)
      redis.call('EXPIRE', bell, ARGV[7])
    end
  end
end
taken[2], taken[3], taken[4] = streak, turns[1], turns[2]
return taken
""")

# Puts messages back to where they are taken next, unless somebody did already.
#
# KEYS: unacked, unacked_index; then a list and a bell per message.
# ARGV: the bells' TTL; then a delivery tag and the message, marked as redelivered.
RESTORE = _script("""
for at = 1, (#ARGV - 1) / 2 do
  local tag, message = ARGV[2 * at], ARGV[2 * at + 1]
  local list, bell = KEYS[2 * at + 1], KEYS[2 * at + 2]
  if redis.call('HDEL', KEYS[1], tag) == 1 then
    redis.call('ZREM', KEYS[2], tag)
    redis.call('RPUSH', list, message)
    redis.call('LPUSH', bell, 1)
    redis.call('EXPIRE', bell, ARGV[1])
  end
end
""")
