-- Read instances, and where asked nodes and queues, at one moment. ARGV: key of a set of instances, '1' for all three.
-- Returns {instances, nodes, {version, length, ...}}.
local time = now()
local instances, nodes, waiting = {}, {}, {}
for _, id in ipairs(redis.call('SMEMBERS', ARGV[1])) do
  local f = redis.call('HMGET', instance_key(id), 'function', 'version', 'node', 'state', 'concurrency', 'memory_bytes',
    'idle_since')
  if f[1] then
    local in_use = redis.call('HLEN', leases_key(id))
    local idle = f[7] and in_use == 0 and math.max(0, time - tonumber(f[7])) or 0
    instances[#instances + 1] = {id, f[1], f[2], f[3], f[4], f[5], in_use, f[6], text(idle)}
  end
end
if ARGV[2] ~= '1' then return {instances, nodes, waiting} end
for _, id in ipairs(redis.call('SMEMBERS', 'qt:nodes')) do
  local f = redis.call('HMGET', node_key(id), 'state', 'device', 'memory_bytes', 'checkpoints', 'templates', 'tiers',
    'remote')
  if f[1] then
    f[7] = f[7] and f[7] ~= '' and redis.call('SMEMBERS', 'qt:remote:' .. f[7]) or {}
    nodes[#nodes + 1] = {id, unpack(f)}
  end
end
for _, version in ipairs(redis.call('SMEMBERS', QUEUES_KEY)) do
  waiting[#waiting + 1] = version
  waiting[#waiting + 1] = redis.call('ZCARD', queue_key(version))
end
return {instances, nodes, waiting}
