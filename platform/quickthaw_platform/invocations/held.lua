-- Before prelude.lua in every script. What each API key holds of the store: the bytes of its invocations and of its
-- stored objects, by when they go. The key's hash has the `total`, `next` (when the next of them go) and, for each
-- moment at which some go, how many bytes those are. What goes within SPAN_SECONDS counts as going at one moment, the
-- last of them. What has not ended yet is in the total alone.
local SPAN_SECONDS = 60
local RECORD_BYTES = 5120  -- what an invocation takes beside what was sent: its record, the first events of its log

local function held_key(owner) return 'qt:held:' .. owner end

-- The moment at which what is kept for `ms` from `time` on has gone.
local function gone_at(time, ms)
  return string.format('%.0f', math.ceil((time + ms / 1000) / SPAN_SECONDS) * SPAN_SECONDS)
end

-- Count bytes (below 0: no more) that a key holds; `moment`: when they go (nil: that is not known yet).
local function count_held(owner, bytes, moment)
  local held = held_key(owner)
  redis.call('HINCRBY', held, 'total', bytes)
  if not moment then return end
  redis.call('HINCRBY', held, moment, bytes)
  local following = redis.call('HGET', held, 'next')
  if not following or tonumber(moment) < tonumber(following) then redis.call('HSET', held, 'next', moment) end
end

-- What is at `name` (an invocation or a stored object) counts for `bytes` that go at `moment`, whatever it counted for
-- before. A `moment` of nil: it is gone.
local function recount_held(name, owner, bytes, moment)
  local before = redis.call('HMGET', name, 'held', 'held_until')
  if before[1] then count_held(owner, -before[1], before[2] or nil) end
  if not moment then return end
  count_held(owner, bytes, moment)
  redis.call('HSET', name, 'held', bytes, 'held_until', moment)
end

-- Return how many bytes a key holds, and in how many seconds the next of them go (nil: that is not known).
local function held_by(owner, time)
  local held = held_key(owner)
  local f = redis.call('HMGET', held, 'total', 'next')
  local total, following = tonumber(f[1] or 0), tonumber(f[2] or nil)
  if following and following <= time then
    local moments = redis.call('HGETALL', held)
    following = nil
    for i = 1, #moments, 2 do
      local moment = tonumber(moments[i])
      if moment and moment <= time then
        total = total - moments[i + 1]
        redis.call('HDEL', held, moments[i])
      elseif moment and (not following or moment < following) then
        following = moment
      end
    end
    redis.call('HSET', held, 'total', string.format('%.0f', math.max(0, total)))
    if following then
      redis.call('HSET', held, 'next', string.format('%.0f', following))
    else
      redis.call('HDEL', held, 'next')
    end
  end
  return math.max(0, total), following and following - time
end

-- Return how many bytes keys take in the store.
local function stored_bytes(names)
  local bytes = 0
  for _, name in ipairs(names) do bytes = bytes + (redis.call('MEMORY', 'USAGE', name, 'SAMPLES', 0) or 0) end
  return bytes
end
