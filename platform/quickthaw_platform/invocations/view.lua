-- Read instances, and where asked the whole cluster, at one moment. ARGV: key of a set of instances, '1' for all, then
-- functions to tell of in any case.
-- Returns {instances, nodes, {version, length, seconds that its first has waited, ...}, functions, {key of a set of
-- checkpoints beyond, its members, ...}, {instance, {invocation, its size, seconds, ...} of what can move, ...}, what was
-- learnt of moving}.
local MOST_RUNNING = 1000  -- invocations; where more run they are not told of one by one, and stay where they are
local time = now()
local instances, nodes, waiting, functions, beyond = {}, {}, {}, {}, {}
local wanted = {}

local function remaining(state, created_at, seconds)
  if state ~= 'starting' or not seconds or seconds == '' then return '0' end
  return text(math.max(0, tonumber(created_at) + tonumber(seconds) - time))
end

for _, id in ipairs(redis.call('SMEMBERS', ARGV[1])) do
  local f = redis.call('HMGET', instance_key(id), 'function', 'version', 'node', 'state', 'concurrency', 'memory_bytes',
    'checkpoint', 'way', 'idle_since', 'created_at', 'load_seconds', 'estimate_seconds', 'min_instances', 'weight',
    'checkpoint_bytes', 'dedicated')
  if f[1] then
    local in_use = redis.call('HLEN', leases_key(id))
    local idle = f[9] and in_use == 0 and math.max(0, time - tonumber(f[9])) or 0
    instances[#instances + 1] = {id, f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], in_use, text(idle),
      remaining(f[4], f[10], f[11]), remaining(f[4], f[10], f[12]), f[15], f[13], f[16]}
    if f[4] ~= 'draining' or not wanted[f[1]] then wanted[f[1]] = f[14] or '' end
  end
end
if ARGV[2] ~= '1' then return {instances} end

local known = {}
for _, id in ipairs(redis.call('SMEMBERS', NODES_KEY)) do
  local f = redis.call('HMGET', node_key(id), 'state', 'device', 'memory_bytes', 'checkpoints', 'templates', 'tiers',
    'labels', 'remote', 'primed', 'isolation', 'asleep')
  if f[1] then
    local remote = f[8] or ''
    if remote ~= '' and not known[remote] then
      known[remote] = true
      beyond[#beyond + 1] = remote
      beyond[#beyond + 1] = redis.call('SMEMBERS', remote_key(remote))
    end
    local kept, kept_for = kept_bytes(id, '', time)
    f[9], f[12], f[13] = f[9] or '', f[10] or '', f[11] or ''
    f[10], f[11] = kept_for, kept
    nodes[#nodes + 1] = {id, unpack(f)}
  end
end

for _, version in ipairs(redis.call('SMEMBERS', QUEUES_KEY)) do
  local first = redis.call('ZRANGE', queue_key(version), 0, 0)[1]
  if first then
    local f = redis.call('HMGET', inv_key(first), 'function', 'created_at')
    waiting[#waiting + 1] = version
    waiting[#waiting + 1] = redis.call('ZCARD', queue_key(version))
    waiting[#waiting + 1] = text(math.max(0, time - tonumber(f[2])))
    wanted[f[1]] = wanted[f[1]] or ''
  end
end

for i = 3, #ARGV do wanted[ARGV[i]] = wanted[ARGV[i]] or '' end
for name, weight in pairs(wanted) do
  local calls = traffic_key(name, 'calls')
  local oldest = redis.call('LINDEX', calls, -1)
  local count = oldest and redis.call('LLEN', calls) or 0
  functions[#functions + 1] = {name, weight, count, oldest and text(time - oldest) or '',
    redis.call('HGETALL', traffic_key(name, 'learnt'))}
end
-- What an instance runs, if all of it can move; a token of the prompt is taken for four bytes of the request.
local function movable(id)
  local found = {}
  for _, inv in ipairs(redis.call('HKEYS', leases_key(id))) do
    local f = redis.call('HMGET', inv_key(inv), 'state', 'resumable', 'moving_to', 'outputs', 'started_at')
    if f[1] ~= 'running' or f[2] == '0' or f[3] then return {} end
    local size = tonumber(f[4] or 0) + math.floor(redis.call('HSTRLEN', inv_key(inv), 'request') / 4)
    found[#found + 1] = inv
    found[#found + 1] = size
    found[#found + 1] = text(math.max(0, time - tonumber(f[5] or time)))
  end
  return found
end

local running, total = {}, 0
for _, row in ipairs(instances) do total = total + row[10] end
if total <= MOST_RUNNING and #nodes > 1 then
  for _, row in ipairs(instances) do
    if row[5] == 'ready' and row[10] > 0 then
      running[#running + 1] = row[1]
      running[#running + 1] = movable(row[1])
    end
  end
end
return {instances, nodes, waiting, functions, beyond, running, redis.call('HGETALL', MIGRATION_KEY)}
