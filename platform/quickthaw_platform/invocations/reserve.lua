-- Reserve room for an instance on a node. ARGV: instance, version, node, max_instances, memory_bytes, how many instances
-- of the version serve by what the decision rests on ('': whatever), then more fields.
-- Returns 1, also when this very instance was reserved before; 0 when there is no room or the decision is out of date.
local instance, version, node = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HMGET', instance_key(instance), 'version', 'node')
if known[1] then return known[1] == version and known[2] == node and 1 or 0 end

-- What drains counts no longer: its successor may start while it finishes.
local function serving()
  local count = 0
  for _, other in ipairs(redis.call('SMEMBERS', version_instances_key(version))) do
    local f = redis.call('HMGET', instance_key(other), 'state', 'node')
    if f[1] ~= 'draining' and not draining(f[2]) then count = count + 1 end
  end
  return count
end

local function free_bytes()
  local free_here = tonumber(redis.call('HGET', node_key(node), 'memory_bytes') or 0)
  for _, other in ipairs(redis.call('SMEMBERS', node_instances_key(node))) do
    free_here = free_here - tonumber(redis.call('HGET', instance_key(other), 'memory_bytes'))
  end
  return free_here
end

if redis.call('HGET', node_key(node), 'state') ~= 'ready' then return 0 end
local count = serving()
if ARGV[6] ~= '' and count ~= tonumber(ARGV[6]) then return 0 end
if count >= tonumber(ARGV[4]) or free_bytes() < tonumber(ARGV[5]) then return 0 end
local time = text(now())
redis.call('HSET', instance_key(instance), 'state', 'starting', 'version', version, 'node', node,
  'memory_bytes', ARGV[5], 'created_at', time, 'told_at', time, unpack(ARGV, 7))
redis.call('SADD', 'qt:instances', instance)
redis.call('SADD', version_instances_key(version), instance)
redis.call('SADD', node_instances_key(node), instance)
return 1
