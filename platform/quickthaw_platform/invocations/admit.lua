-- Accept an invocation: lease it a slot of a ready instance when nothing waits before it, else queue it.
-- ARGV: id, version, queue_size, start_seconds, total_seconds, idempotency key ('': none), digest, function, API key
-- ('': none), its weight, beginnings of its prompt (see gateway/beginnings.py; '': none that count), how many bytes of the
-- store the key may hold, then record fields.
-- Returns {'assigned', assignment, 1 where it follows one of its beginnings, else 0} | {'queued', position} | {'duplicate', id} | {'conflict', id} | {'full', waiting}
-- | {'too much', bytes that the key holds, bytes of this call, seconds until some of those go or ''}.
local id, version, queue_size = ARGV[1], ARGV[2], tonumber(ARGV[3])
local start_seconds, total_seconds = tonumber(ARGV[4]), tonumber(ARGV[5])
local idempotency, digest, fn = ARGV[6], ARGV[7], ARGV[8]
local key, weight = ARGV[9], tonumber(ARGV[10])
local beginnings = ARGV[11] ~= '' and ARGV[11] or nil
local inv, queue, fair = inv_key(id), queue_key(version), fair_key(version)

-- The client sends a call again whose answer was lost: the same id finds what the first one did.
local function again(f)
  if f[1] == 'queued' then return {'queued', redis.call('ZRANK', queue, id) + 1} end
  if f[1] == 'assigned' then return {'assigned', assignment(id, f[2], f[3], f[4], tonumber(f[5])), 0} end
  return {'duplicate', id}
end

-- An instance with a free slot that a call may lease as it comes; else nil.
local function newcomers_may_lease(name)
  local instance = read_instance(name)
  local open = instance and instance.state == 'ready' and instance.held < instance.concurrency
  return open and not draining(instance.node) and instance or nil
end

-- What cannot lease (any more) is dropped from the open ones on the way.
local function fullest_with_room()
  while true do
    local found = redis.call('ZRANGE', open_key(version), 0, 0)[1]
    if not found then return nil end
    local instance = newcomers_may_lease(found)
    if instance then return instance end
    redis.call('ZREM', open_key(version), found)
  end
end

-- Whether an instance holds at most half of its slots more than any other of its version that has one free. `freest`:
-- the one with the most, and how many. One that cannot lease (any more) is dropped on the way.
local function not_crowded(instance, freest)
  while freest[1] and tonumber(freest[2]) + instance.held > 1.5 * instance.concurrency do
    if newcomers_may_lease(freest[1]) then return false end
    redis.call('ZREM', open_key(version), freest[1])
    freest = redis.call('ZREVRANGE', open_key(version), 0, 0, 'WITHSCORES')
  end
  return true
end

-- Where several have a free slot: the one that was given the longest of the prompt's beginnings last, as far as that is
-- known and leaves the load even. Its engine need not compute that part of the prompt again.
local function familiar_with_room()
  if not beginnings then return nil end
  local freest = redis.call('ZREVRANGE', open_key(version), 0, 1, 'WITHSCORES')
  if #freest < 4 then return nil end
  local served, refused = redis.call('HMGET', served_key(version), places(beginnings)), nil
  for i = 1, 4 do
    local found = served[i] and served[i]:find(beginnings:sub(8 * i - 7, 8 * i), 1, true) and served[i]:sub(33)
    if found and found ~= refused then
      local instance = newcomers_may_lease(found)
      if instance and not_crowded(instance, freest) then return instance end
      refused = found
    end
  end
end

local known = redis.call('HMGET', inv, 'state', 'epoch', 'instance', 'node', 'seq')
if known[1] then return again(known) end
if idempotency ~= '' then
  local before = redis.call('HMGET', idempotency, 'invocation', 'digest')
  if before[1] and redis.call('EXISTS', inv_key(before[1])) == 1 then
    return {before[2] == digest and 'duplicate' or 'conflict', before[1]}
  end
end

local time, size = now(), RECORD_BYTES
for i = 13, #ARGV do size = size + #ARGV[i] end
local held, seconds = held_by(key, time)
if held + size > tonumber(ARGV[12]) then return {'too much', held, size, seconds and text(seconds) or ''} end

local waiting = redis.call('ZCARD', queue)
local familiar = waiting == 0 and familiar_with_room()
local instance = familiar or waiting == 0 and fullest_with_room()
if not instance and waiting >= queue_size then return {'full', waiting} end

-- Start-time fair queueing between API keys (Goyal, Vin and Cheng, SIGCOMM'96): a call's start tag is the later of the
-- queue's virtual time, which is the tag of what was taken last, and its key's last finish tag, which is the start tag
-- before it and 1 / weight; calls go by start tag, and by arrival. When nothing waits no key is behind: then the
-- virtual time is the latest finish tag of all, so that what was taken before and comes back is still before newcomers.
-- A call that need not wait is not counted.
local function start_tag(waiting)
  local f = redis.call('HMGET', fair, ':virtual', ':top', key)
  local top = f[2] or '0'
  local virtual = waiting == 0 and top or f[1] or '0'
  if virtual ~= f[1] then
    redis.call('HSET', fair, ':virtual', virtual)
    redis.call('EXPIRE', fair, TRAFFIC_SECONDS)
  end
  if instance then return tonumber(virtual) end
  local tag = math.max(tonumber(virtual), tonumber(f[3] or 0))
  local finish = tag + 1 / weight
  redis.call('HSET', fair, ':top', exact(math.max(tonumber(top), finish)), key, exact(finish))
  return tag
end

note_call(fn, id, time)
count_held(key, size)
local arrival = redis.call('HINCRBY', fair, ':arrivals', 1)
local tag = start_tag(waiting)
local record = {'epoch', 1, 'version', version, 'function', fn, 'key', key, 'tag', exact(tag), 'arrival', arrival,
  'created_at', text(time), 'start_seconds', ARGV[4], 'total_seconds', ARGV[5], 'held', size, unpack(ARGV, 13)}
if beginnings then
  record[#record + 1] = 'beginnings'
  record[#record + 1] = beginnings
end
if idempotency ~= '' then
  redis.call('DEL', idempotency)
  redis.call('HSET', idempotency, 'invocation', id, 'digest', digest)
  record[#record + 1] = 'idempotency'
  record[#record + 1] = idempotency
end
local deadline = time + math.min(start_seconds, total_seconds)
if instance then
  redis.call('ZADD', DEADLINES_KEY, text(deadline), id)
  local assigned = lease(id, instance, '1', 0, 0, time, beginnings, record)
  settle(instance, time)
  return {'assigned', assigned, familiar and 1 or 0}
end
enqueue(id, version, tag, arrival, deadline)
redis.call('HSET', inv, 'state', 'queued', 'attempts', 0, 'seq', 1, unpack(record))
local position = redis.call('ZRANK', queue, id) + 1
put_status(id, 1, {state = 'queued', position = position}, time)
return {'queued', position}
