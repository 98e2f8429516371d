-- Reserve room for an instance on a node. ARGV: instance, version, node, max_instances, memory_bytes, how many instances
-- of the version serve by what the decision rests on ('': whatever), ids of idle instances of the node that make room
-- (comma separated), then more fields.
-- Returns 1, also when this very instance was reserved before; 0 when there is no room or the decision is out of date.
local instance, version, node, memory_bytes = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local known = redis.call('HMGET', instance_key(instance), 'version', 'node')
if known[1] then return known[1] == version and known[2] == node and 1 or 0 end

-- What drains counts no longer: its successor may start while it finishes. Neither does what only another release knows.
local SERVES = {starting = true, loaded = true, ready = true}
local function serving()
  local count = 0
  for _, other in ipairs(redis.call('SMEMBERS', version_instances_key(version))) do
    local f = redis.call('HMGET', instance_key(other), 'state', 'node')
    if SERVES[f[1]] and not draining(f[2]) then count = count + 1 end
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

-- The memory of an instance that can make room, its version, and what made room for it; nil when it cannot (any more).
local function idle_bytes(other)
  local f = redis.call('HMGET', instance_key(other), 'state', 'node', 'version', 'memory_bytes', 'after')
  if f[1] ~= 'ready' or f[2] ~= node or redis.call('HLEN', leases_key(other)) > 0 then return nil end
  if redis.call('ZCARD', queue_key(f[3])) > 0 then return nil end
  return tonumber(f[4]), f[3], f[5] or ''
end

if redis.call('HGET', node_key(node), 'state') ~= 'ready' then return 0 end
local count = serving()
if ARGV[6] ~= '' and count ~= tonumber(ARGV[6]) then return 0 end
if count >= tonumber(ARGV[4]) then return 0 end
local missing = memory_bytes - free_bytes() + kept_bytes(node, version, now())
local room, left = {}, 0
local after, before = {}, {}  -- what makes room, and what those that do were waiting for: it may still be there
for other in ARGV[7]:gmatch('[^,]+') do
  local bytes, of, earlier = idle_bytes(other)
  if not bytes then return 0 end
  room[#room + 1], left = {other, bytes, of}, left + bytes
  after[#after + 1] = other
  for one in earlier:gmatch('[^,]+') do
    if redis.call('EXISTS', instance_key(one)) == 1 then before[#before + 1] = one end
  end
end
for _, one in ipairs(before) do after[#after + 1] = one end
if missing > left then return 0 end
local time = text(now())
-- They hand over what is missing; the rest of theirs counts until they are gone, and all of it if the newcomer goes
-- first.
for _, r in ipairs(room) do
  local given = math.max(0, math.min(missing, r[2]))
  missing = missing - given
  redis.call('HSET', instance_key(r[1]), 'state', 'draining', 'told_at', time,
    'memory_bytes', whole(r[2] - given), 'memory_left', whole(given))
  redis.call('ZREM', open_key(r[3]), r[1])
end
if redis.call('HGET', node_key(node), 'kept_for') == version then
  redis.call('HDEL', node_key(node), 'kept_for', 'kept_bytes', 'kept_until')
end
redis.call('HSET', instance_key(instance), 'state', 'starting', 'version', version, 'node', node, 'after', table.concat(after, ','),
  'memory_bytes', ARGV[5], 'created_at', time, 'told_at', time, unpack(ARGV, 8))
redis.call('SADD', INSTANCES_KEY, instance)
redis.call('SADD', version_instances_key(version), instance)
redis.call('SADD', node_instances_key(node), instance)
return 1
