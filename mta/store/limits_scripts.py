"""The scripts that run in Redis: each is one indivisible step over all processes.

Instants are microseconds of the server's own clock; only tests give their own as
the first argument. What a script shares with ``mta.policy.limits`` is written there.

Keys, each with an end of its own, so that nothing has to be swept:

- ``mta:slots:KEY``: sorted set, who holds a slot of the limit, by the lease's end.
- ``mta:clock:KEY``: "GRANTED TURN AGAIN INTERVAL", the instants of a rate's clock,
  and the interval by which they were given.
- ``mta:wanted``: sorted set of the limits that somebody waits for (named by their
  ``mta:slots:``), by when that is forgotten.
- ``mta:trouble:KEY``: why a destination is left alone for a time.
- ``mta:epoch``: hash, whether what is in this Redis can be believed. ``id`` is the
  epoch, and its first instant; ``run`` the server's run; ``beat`` when a process was
  last heard; ``settled`` from when on all rely on it again; ``born`` the last time
  that it came up without what it knew, or with less; ``lost`` the same, if a process
  remembers a time before: what that one was granted then, nobody knows any more.
"""

from string import Template

from mta.policy.limits import GRACE_US, HORIZON_US, PATIENCE_US

# Without a beat for so long, others may have gone on without this Redis. A process
# beats every 2 s, so one that lives is heard twice in that time.
SILENCE_US = 5_000_000
# All wait for so long before they rely on it again. More than one beat, so that each
# has told by then what it holds.
SETTLING_US = 3_000_000

GRANTED, FULL, LATER, TROUBLE, UNSETTLED = range(5)

_NUMBERS = {
    "PATIENCE": PATIENCE_US,
    "HORIZON": HORIZON_US,
    "GRACE": GRACE_US,
    "SILENCE": SILENCE_US,
    "SETTLING": SETTLING_US,
}


def _script(text: str) -> str:
    return Template(_COMMON + text).substitute(_NUMBERS)


_COMMON = """
local function read_clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
-- Microseconds until this Redis is relied on: 0 if it is, -1 if that is not known.
-- And until when grants may have been made that it has forgotten.
local function read_trust(key, now)
  local epoch = redis.call('HMGET', key, 'beat', 'settled', 'lost')
  local beat = tonumber(epoch[1])
  if not beat or math.abs(now - beat) > $SILENCE then return -1, 0 end
  local lost = tonumber(epoch[3])
  local floor = 0
  if lost > 0 then floor = lost + $PATIENCE end
  return math.max(0, tonumber(epoch[2]) - now), floor
end
local function is_wanted(wanted, name, now)
  local ends = redis.call('ZSCORE', wanted, name)
  return ends and tonumber(ends) > now
end
-- How many hold a slot whose lease still runs.
local function count_held(key, now)
  return redis.call('ZCOUNT', key, string.format('(%.0f', now), '+inf')
end
local function take(key, now, ttl, member)
  redis.call('ZADD', key, now + ttl, member)
  redis.call('PEXPIRE', key, math.ceil(ttl / 500))
end
local function read_pace(key)
  local clock = redis.call('GET', key)
  if not clock then return 0, 0, 0, nil end
  local granted, turn, again, by = string.match(clock, '^(%d+) (%d+) ?(%d*) ?(%d*)')
  return tonumber(granted), tonumber(turn), tonumber(again) or 0, tonumber(by)
end
local function write_pace(key, granted, turn, again, interval, now)
  local left = math.max(granted, turn, again) + interval - now
  redis.call('SET', key,
    string.format('%.0f %.0f %.0f %.0f', granted, turn, again, interval),
    'PX', math.ceil(math.max(left, 0) / 1000) + 60000)
end
"""

# KEYS: epoch, wanted, trouble, slots, paces, dropped slots
# ARGV: now, lease, member, has_turn, has_trouble, number of slots, of paces,
#       limit of each slot, interval of each pace
ACQUIRE = _script(
    """
local now = read_clock(ARGV[1])
if ARGV[5] == '1' then
  local text = redis.call('GET', KEYS[3])
  if text then return {3, text, redis.call('PTTL', KEYS[3])} end
end
local left, floor = read_trust(KEYS[1], now)
if left ~= 0 then return {4, left} end

local member, slots, paces = ARGV[3], tonumber(ARGV[6]), tonumber(ARGV[7])
for i = 1, slots do
  local key = KEYS[3 + i]
  -- Where somebody waits, the dead are left for whoever hands their slots on.
  if not is_wanted(KEYS[2], key, now) then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  end
  local lease = tonumber(redis.call('ZSCORE', key, member) or 0)
  if lease <= now and count_held(key, now) >= tonumber(ARGV[7 + i]) then
    return {1, i}
  end
end

local clocks, opening, decisive = {}, now, 1
for i = 1, paces do
  local interval = tonumber(ARGV[7 + slots + i])
  local granted, turn, again, by = read_pace(KEYS[3 + slots + i])
  -- Another rate than it was: its turns are void, and its last grant is not.
  if by and by ~= interval then turn, again = 0, 0 end
  granted, turn = math.min(granted, now + $PATIENCE), math.min(turn, now + $HORIZON)
  again = math.min(again, now + $HORIZON)
  if now > math.max(granted, floor) + 2 * interval + $GRACE then
    turn, again = 0, 0
  end
  local at = math.max(granted, floor) + interval
  if ARGV[4] ~= '1' then at = math.max(at, turn + interval, again + interval) end
  if at > opening then opening, decisive = at, i end
  clocks[i] = {granted, turn, again, interval}
end
if opening - now > $PATIENCE then
  local key, clock = KEYS[3 + slots + decisive], clocks[decisive]
  local line = 2
  if ARGV[4] == '1' then line = 3 end
  local turn = math.max(opening, clock[line] + clock[4])
  if turn - now > $HORIZON then return {2, decisive, $HORIZON} end
  clock[line] = turn
  write_pace(key, clock[1], clock[2], clock[3], clock[4], now)
  return {2, decisive, turn - now}
end

for i = 1, slots do take(KEYS[3 + i], now, tonumber(ARGV[2]), member) end
for i = 1, paces do
  local clock = clocks[i]
  write_pace(KEYS[3 + slots + i], opening, clock[2], clock[3], clock[4], now)
end
local answer = {0, opening - now}
for i = slots + paces + 4, #KEYS do
  redis.call('ZREM', KEYS[i], member)
  if is_wanted(KEYS[2], KEYS[i], now) then
    answer[#answer + 1] = i - slots - paces - 3
  end
end
return answer
"""
)

# KEYS: epoch, wanted, slots; ARGV: now, member.
# Returns the indexes of the slots that somebody waits for. As long as this Redis is
# not settled, who waits may have been forgotten: then all of them.
RELEASE = _script(
    """
local now = read_clock(ARGV[1])
local left = read_trust(KEYS[1], now)
local answer = {}
for i = 3, #KEYS do
  redis.call('ZREM', KEYS[i], ARGV[2])
  if left ~= 0 or is_wanted(KEYS[2], KEYS[i], now) then
    answer[#answer + 1] = i - 2
  end
end
return answer
"""
)

# KEYS: epoch, wanted, slot; ARGV: now, limit, lifetime, channel, word.
# Returns 1 if a slot is free, 0 if not, -1 if this Redis cannot tell.
WANT = _script(
    """
local now, lifetime = read_clock(ARGV[1]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + lifetime, KEYS[3])
redis.call('PEXPIRE', KEYS[2], math.ceil(lifetime / 1000))
redis.call('PUBLISH', ARGV[4], ARGV[5])
if read_trust(KEYS[1], now) ~= 0 then return -1 end
if count_held(KEYS[3], now) < tonumber(ARGV[2]) then return 1 end
return 0
"""
)

# KEYS: slots; ARGV: now. Returns pairs: the index of a slot, and how many of those who
# held it died. Nobody else hears of them.
BURY = _script(
    """
local now, answer = read_clock(ARGV[1]), {}
for i = 1, #KEYS do
  local dead = redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  if dead > 0 then
    answer[#answer + 1] = i
    answer[#answer + 1] = dead
  end
end
return answer
"""
)

# KEYS: wanted; ARGV: name, channel, word.
UNWANT = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
"""

# KEYS: wanted; ARGV: now, at most. Returns the names of the limits waited for.
LIST_WANTED = _script(
    """
return redis.call('ZRANGEBYSCORE', KEYS[1],
  string.format('(%.0f', read_clock(ARGV[1])), '+inf', 'LIMIT', 0, ARGV[2])
"""
)

# KEYS: wanted; ARGV: now, lifetime, names. Notes again who waits.
RESTORE = _script(
    """
local ends = read_clock(ARGV[1]) + tonumber(ARGV[2])
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], 'NX', ends, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) / 1000))
"""
)

# KEYS: epoch, slots, paces; ARGV: now, lease, only_unsettled, number of slots, then
# for each slot the number of its members and they, for each pace its last grant and
# its interval.
# Takes what a process holds or granted without asking, limits or no limits.
# Returns 0, with nothing done, if it was to be so only before Redis is settled.
REGISTER = _script(
    """
local now, ttl, slots = read_clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
if ARGV[3] == '1' and read_trust(KEYS[1], now) == 0 then return 0 end
local at = 5
for i = 1, slots do
  for j = at + 1, at + tonumber(ARGV[at]) do
    take(KEYS[1 + i], now, ttl, ARGV[j])
  end
  at = at + 1 + tonumber(ARGV[at])
end
for i = 2 + slots, #KEYS do
  local granted, turn, again = read_pace(KEYS[i])
  write_pace(KEYS[i], math.max(granted, tonumber(ARGV[at])), turn, again,
    tonumber(ARGV[at + 1]), now)
  at = at + 2
end
return 1
"""
)

# KEYS: slots; ARGV: now, lease, then for each slot the number of its members and
# they. Whoever is not there stays out, as it may just have released the slot; returns
# those, each after the index of its slot.
RENEW = _script(
    """
local now, ttl, at = read_clock(ARGV[1]), tonumber(ARGV[2]), 3
local missing = {}
for i = 1, #KEYS do
  for j = at + 1, at + tonumber(ARGV[at]) do
    if not redis.call('ZSCORE', KEYS[i], ARGV[j]) then
      missing[#missing + 1] = i
      missing[#missing + 1] = ARGV[j]
    else
      redis.call('ZADD', KEYS[i], now + ttl, ARGV[j])
    end
  end
  redis.call('PEXPIRE', KEYS[i], math.ceil(ttl / 500))
  at = at + 1 + tonumber(ARGV[at])
end
return missing
"""
)

# KEYS: epoch; ARGV: now, run of the server, last epoch that the caller relied on
# ('' if none). Returns the epoch, microseconds until it is settled, now, and whether
# others may have been granted something before this epoch: 1 or 0.
BEAT = _script(
    """
local now = read_clock(ARGV[1])
local old = redis.call('HMGET', KEYS[1], 'id', 'run', 'beat', 'settled', 'born', 'lost')
local id, settled = old[1], tonumber(old[4] or 0)
local born, lost = tonumber(old[5] or now), tonumber(old[6] or 0)
local is_new = not id or old[2] ~= ARGV[2]
if is_new then born, lost = now, 0 end
if is_new or math.abs(now - tonumber(old[3])) > $SILENCE then
  id, settled = string.format('%.0f', now), now + $SETTLING
end
if ARGV[3] ~= '' and tonumber(ARGV[3]) < born then lost = born end
settled = math.min(settled, now + $SETTLING)
redis.call('HSET', KEYS[1], 'id', id, 'run', ARGV[2], 'beat',
  string.format('%.0f', now), 'settled', string.format('%.0f', settled),
  'born', string.format('%.0f', born), 'lost', string.format('%.0f', lost))
redis.call('PEXPIRE', KEYS[1], 86400000)
local had_others = (lost > 0 or tonumber(id) > born) and 1 or 0
return {id, math.max(0, settled - now), now, had_others}
"""
)
