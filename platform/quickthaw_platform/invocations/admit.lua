-- Accept an invocation: lease it a slot of a ready instance when nothing waits before it, else queue it.
-- ARGV: id, version, queue_size, start_seconds, total_seconds, idempotency key ('': none), digest, then record fields.
-- Returns {'assigned', assignment} | {'queued', position} | {'duplicate', id} | {'conflict', id} | {'full', waiting}.
local id, version, queue_size = ARGV[1], ARGV[2], tonumber(ARGV[3])
local start_seconds, total_seconds = tonumber(ARGV[4]), tonumber(ARGV[5])
local idempotency, digest = ARGV[6], ARGV[7]
local inv, queue = inv_key(id), queue_key(version)

-- The client sends a call again whose answer was lost: the same id finds what the first one did.
local function again()
  local f = redis.call('HMGET', inv, 'state', 'epoch', 'instance', 'node', 'seq')
  if f[1] == 'queued' then return {'queued', redis.call('ZRANK', queue, id) + 1} end
  if f[1] == 'assigned' then return {'assigned', assignment(id, f[2], f[3], f[4], tonumber(f[5]))} end
  return {'duplicate', id}
end

local function fullest_with_room()
  local best, fewest
  for _, instance in ipairs(redis.call('SMEMBERS', version_instances_key(version))) do
    local free_here = free_slots(instance, true)
    if free_here > 0 and (not best or free_here < fewest or (free_here == fewest and instance < best)) then
      best, fewest = instance, free_here
    end
  end
  return best
end

if redis.call('EXISTS', inv) == 1 then return again() end
if idempotency ~= '' then
  local known = redis.call('HMGET', idempotency, 'invocation', 'digest')
  if known[1] and redis.call('EXISTS', inv_key(known[1])) == 1 then
    return {known[2] == digest and 'duplicate' or 'conflict', known[1]}
  end
end

local waiting = redis.call('ZCARD', queue)
local instance = waiting == 0 and fullest_with_room()
if not instance and waiting >= queue_size then return {'full', waiting} end

local time = now()
local arrival = redis.call('INCR', 'qt:arrivals')
redis.call('HSET', inv, 'state', 'queued', 'epoch', 1, 'attempts', 0, 'seq', 0, 'arrival', arrival, 'version', version,
  'created_at', text(time), 'start_seconds', ARGV[4], 'total_seconds', ARGV[5], unpack(ARGV, 8))
if idempotency ~= '' then
  redis.call('DEL', idempotency)
  redis.call('HSET', idempotency, 'invocation', id, 'digest', digest)
  redis.call('HSET', inv, 'idempotency', idempotency)
end
local deadline = time + math.min(start_seconds, total_seconds)
if instance then
  redis.call('ZADD', DEADLINES_KEY, text(deadline), id)
  return {'assigned', lease(id, instance, time)}
end
enqueue(id, version, arrival, deadline)
put_status(id, {state = 'queued', position = waiting + 1})
return {'queued', waiting + 1}
