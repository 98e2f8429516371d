-- Forget an instance. ARGV: instance. Returns {invocation, epoch, ...} of the leases it held. Their invocations are
-- orphans from here on: who calls this settles them, and if it dies before, the controller finds them in `stale`.
local KEPT_SECONDS = 5  -- some rounds of the controller, in which the version that the room is for starts there
local instance = ARGV[1]
local f = redis.call('HMGET', instance_key(instance), 'version', 'node', 'after', 'room_for', 'memory_bytes')
-- What makes room for it and is still there has its memory back, but for what it has itself handed on.
local held = tonumber(f[5] or 0)
for other in (f[3] or ''):gmatch('[^,]+') do
  local kept = redis.call('HMGET', instance_key(other), 'memory_bytes', 'memory_left')
  if kept[2] then
    local back = math.min(held, tonumber(kept[2]))
    held = held - back
    redis.call('HSET', instance_key(other), 'memory_bytes', whole(kept[1] + back), 'memory_left', whole(kept[2] - back))
  end
end
local leases = redis.call('HGETALL', leases_key(instance))
redis.call('DEL', instance_key(instance), leases_key(instance))
redis.call('SREM', INSTANCES_KEY, instance)
if f[1] then
  redis.call('SREM', version_instances_key(f[1]), instance)
  redis.call('ZREM', open_key(f[1]), instance)
  redis.call('SREM', node_instances_key(f[2]), instance)
  if redis.call('EXISTS', version_instances_key(f[1])) == 0 then
    redis.call('DEL', served_key(f[1]))
  end
end
if f[4] and redis.call('EXISTS', node_key(f[2])) == 1 then
  redis.call('HSET', node_key(f[2]), 'kept_for', f[4], 'kept_bytes', whole(held), 'kept_until', text(now() + KEPT_SECONDS))
end
local time = text(now())
for i = 1, #leases, 2 do redis.call('ZADD', ACTIVE_KEY, 'XX', time, leases[i]) end
return leases
