-- Drain an idle instance that nobody waits for. ARGV: instance, how many instances of the version must go on serving.
-- Returns 1 when it drains (or did already), so that it may be stopped; else 0.
local instance, keep = ARGV[1], tonumber(ARGV[2])
local key = instance_key(instance)
local f = redis.call('HMGET', key, 'state', 'version')
if redis.call('HLEN', leases_key(instance)) > 0 then return 0 end
if f[1] == 'draining' then return 1 end
if f[1] ~= 'ready' or redis.call('ZCARD', queue_key(f[2])) > 0 then return 0 end
local serving = 0
for _, other in ipairs(redis.call('SMEMBERS', version_instances_key(f[2]))) do
  local state = redis.call('HGET', instance_key(other), 'state')
  if state == 'ready' or state == 'loaded' then serving = serving + 1 end
end
if serving <= keep then return 0 end
redis.call('HSET', key, 'state', 'draining', 'told_at', text(now()))
redis.call('ZREM', open_key(f[2]), instance)
return 1
