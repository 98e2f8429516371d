-- Shared by every script (the loader puts this text before each). Keys are computed here from ids: quickthaw runs on
-- one Redis or Valkey (>= 6.2), not on a Redis Cluster. User JSON is never decoded in Lua: cjson would turn an empty
-- array into an object and large integers into floats.

local ENDED = {succeeded = true, failed = true, cancelled = true, timed_out = true}
local ACTIVE_KEY = 'qt:active'        -- zset: assigned and running invocations by when they were last looked at
local DEADLINES_KEY = 'qt:deadlines'  -- zset: invocations by when a limit of theirs runs out
local QUEUES_KEY = 'qt:queues'        -- set: versions whose queue may hold something
local WEBHOOKS_KEY = 'qt:webhooks'    -- zset: ended invocations with a webhook by when it is due

local function inv_key(id) return 'qt:inv:' .. id end
local function log_key(id) return 'qt:inv:' .. id .. ':log' end
local function queue_key(version) return 'qt:version:' .. version .. ':queue' end
local function node_key(node) return 'qt:node:' .. node end
local function instance_key(instance) return 'qt:instance:' .. instance end
local function leases_key(instance) return 'qt:instance:' .. instance .. ':leases' end
local function version_instances_key(version) return 'qt:version:' .. version .. ':instances' end
local function node_instances_key(node) return 'qt:node:' .. node .. ':instances' end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function text(seconds) return string.format('%.6f', seconds) end
local function whole(number) return string.format('%.0f', number) end

local function put(id, seq, event) redis.call('XADD', log_key(id), seq .. '-0', 'e', event) end

-- Log a status that the platform itself sets; returns its seq.
local function put_status(id, fields)
  local seq = redis.call('HINCRBY', inv_key(id), 'seq', 1)
  fields.type = 'status'
  put(id, seq, cjson.encode(fields))
  return seq
end

local function draining(node) return redis.call('HGET', node_key(node), 'state') == 'draining' end

-- How many slots of an instance may be leased now; `ready_only`: for newcomers, which a loaded instance must not take.
local function free_slots(instance, ready_only)
  local fields = redis.call('HMGET', instance_key(instance), 'state', 'concurrency', 'node')
  local open = fields[1] == 'ready' or (fields[1] == 'loaded' and not ready_only)
  if not open or draining(fields[3]) then return 0 end
  return math.max(0, tonumber(fields[2]) - redis.call('HLEN', leases_key(instance)))
end

-- An assignment as Python reads it. The owner's first append has next_seq: `begin` writes one status before it.
local function assignment(id, epoch, instance, node, seq) return {id, epoch, instance, node, seq + 2} end

local function lease(id, instance, time)
  local inv = inv_key(id)
  local node = redis.call('HGET', instance_key(instance), 'node')
  local epoch = redis.call('HGET', inv, 'epoch')
  redis.call('HSET', leases_key(instance), id, epoch)
  redis.call('HDEL', instance_key(instance), 'idle_since')
  redis.call('HSET', inv, 'state', 'assigned', 'node', node, 'instance', instance, 'assigned_at', text(time))
  redis.call('HDEL', inv, 'reason')
  redis.call('ZADD', ACTIVE_KEY, text(time), id)
  local attempt = redis.call('HINCRBY', inv, 'attempts', 1)
  local seq = put_status(id, {state = 'assigned', node = node, instance = instance, attempt = attempt})
  return assignment(id, epoch, instance, node, seq)
end

-- Lease up to `most` free slots of an instance to the head of its version's queue, in order of arrival.
local function fill(instance, most, time)
  local slots = math.min(free_slots(instance, false), most)
  local leased = {}
  if slots == 0 then return leased end
  local queue = queue_key(redis.call('HGET', instance_key(instance), 'version'))
  while #leased < slots do
    local head = redis.call('ZPOPMIN', queue)[1]
    if not head then break end
    leased[#leased + 1] = lease(head, instance, time)
  end
  return leased
end

-- Give back the slot that an invocation holds, if it holds one.
local function free(id, instance, time)
  if not instance then return end
  local freed = redis.call('HDEL', leases_key(instance), id) == 1
  local idle = freed and redis.call('HLEN', leases_key(instance)) == 0
  if idle and redis.call('EXISTS', instance_key(instance)) == 1 then
    redis.call('HSET', instance_key(instance), 'idle_since', text(time))
  end
end

local function enqueue(id, version, arrival, deadline)
  redis.call('ZADD', queue_key(version), arrival, id)
  redis.call('SADD', QUEUES_KEY, version)
  redis.call('ZADD', DEADLINES_KEY, text(deadline), id)
end

-- Take an assigned or running invocation from its owner and put it back where it was in the queue.
local function requeue(id, reason, time)
  local inv = inv_key(id)
  local f = redis.call('HMGET', inv, 'version', 'instance', 'arrival', 'created_at', 'start_seconds', 'total_seconds')
  free(id, f[2], time)
  redis.call('HINCRBY', inv, 'epoch', 1)
  redis.call('HSET', inv, 'state', 'queued', 'reason', reason)
  redis.call('HDEL', inv, 'node', 'instance', 'assigned_at', 'started_at')
  redis.call('ZREM', ACTIVE_KEY, id)
  enqueue(id, f[1], f[3], math.min(time + tonumber(f[5]), tonumber(f[4]) + tonumber(f[6])))
  put_status(id, {state = 'queued', reason = reason})
end

local function expire_ended(id, ttl, idempotency)
  redis.call('PEXPIRE', inv_key(id), ttl)
  redis.call('PEXPIRE', log_key(id), ttl)
  if idempotency then redis.call('PEXPIRE', idempotency, ttl) end
end

-- End an invocation: `event` is its terminal event, `fields` more of its record. Returns what got its slot, or false.
local function close(id, state, event, fields, time)
  local inv = inv_key(id)
  local f = redis.call('HMGET', inv, 'version', 'instance', 'ttl', 'idempotency', 'webhook')
  put(id, redis.call('HINCRBY', inv, 'seq', 1), event)
  redis.call('HSET', inv, 'state', state, 'ended_at', text(time), unpack(fields))
  redis.call('HDEL', inv, 'reason')
  redis.call('ZREM', queue_key(f[1]), id)
  redis.call('ZREM', DEADLINES_KEY, id)
  redis.call('ZREM', ACTIVE_KEY, id)
  free(id, f[2], time)
  expire_ended(id, f[3], f[4])
  if f[5] then redis.call('ZADD', WEBHOOKS_KEY, text(time), id) end
  if not f[2] then return false end
  return fill(f[2], 1, time)[1] or false
end

-- Whether an invocation is alive and, where an epoch is given (not ''), still at this epoch.
local function current(id, epoch)
  local f = redis.call('HMGET', inv_key(id), 'state', 'epoch')
  return f[1] and not ENDED[f[1]] and (epoch == '' or epoch == f[2])
end
