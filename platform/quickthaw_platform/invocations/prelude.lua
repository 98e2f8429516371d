-- Shared by every script (the loader puts this text before each). Keys are computed here from ids, as redis_keys.py has
-- them: quickthaw runs on one Redis or Valkey (>= 6.2), not on a Redis Cluster. User JSON is never decoded in Lua: cjson
-- would turn an empty array into an object and large integers into floats.

local ENDED = {succeeded = true, failed = true, cancelled = true, timed_out = true}
local ACTIVE_KEY = 'qt:active'        -- zset: assigned and running invocations by when they were last looked at
local DEADLINES_KEY = 'qt:deadlines'  -- zset: invocations by when a limit of theirs runs out
local MOVES_KEY = 'qt:moves'          -- zset: invocations offered, or left, to an instance by when it must have taken them
local QUEUES_KEY = 'qt:queues'        -- set: versions whose queue may hold something
local NODES_KEY = 'qt:nodes'          -- set: ids of nodes
local INSTANCES_KEY = 'qt:instances'  -- set: ids of instances
local WATCH_KEY = 'qt:controller.watch'  -- hash: the controller's last round, and the seconds that were watched
local HEARD_KEY = 'qt:controller.heard'  -- hash: node -> its last_seen, and the watched seconds when that was new
local MIGRATION_KEY = 'qt:migration.learnt'  -- hash: see router/learnt.py
local KEPT_FAILED_MOVES = 5           -- of an invocation, the last ones
local TRAFFIC_SECONDS = 2592000       -- 30 days: a function's traffic is forgotten when it has not been called so long
local WEBHOOKS_KEY = 'qt:webhooks'    -- zset: ended invocations with a webhook by when it is due

local function inv_key(id) return 'qt:inv:' .. id end
local function log_key(id) return 'qt:inv.log:' .. id end
local function records_key(id) return 'qt:inv.records:' .. id end
local function stored_key(object) return 'qt:stored:' .. object end  -- hash: see stored.py
-- zset: a key's objects of a kind by when they were made
local function stored_index_key(kind, owner) return 'qt:stored.by_owner:' .. kind .. ':' .. owner end
local function queue_key(version) return 'qt:version.queue:' .. version end
local function open_key(version) return 'qt:version.open:' .. version end  -- zset: instances by free slots
local function waits_key(version) return 'qt:version.waits:' .. version end  -- hash: see explain.lua
local function failure_key(version) return 'qt:version.failure:' .. version end  -- text: why its last start failed
local function fair_key(version) return 'qt:version.fair:' .. version end  -- hash: see admit.lua
local function served_key(version) return 'qt:version.served:' .. version end  -- hash: see remember
-- `what`: live, calls, gaps, idle_since or learnt
local function traffic_key(fn, what) return 'qt:function.' .. what .. ':' .. fn end
local function remote_key(url) return 'qt:remote:' .. url end  -- set: checkpoints that lie in a remote tier
local function node_key(node) return 'qt:node:' .. node end
local function instance_key(instance) return 'qt:instance:' .. instance end
local function leases_key(instance) return 'qt:instance.leases:' .. instance end
local function version_instances_key(version) return 'qt:version.instances:' .. version end
local function calls_key(node) return 'qt:node.calls:' .. node end  -- list: see call
local function node_instances_key(node) return 'qt:node.instances:' .. node end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function text(seconds) return string.format('%.6f', seconds) end
local function exact(number) return string.format('%.17g', number) end
local function whole(number) return string.format('%.0f', number) end

-- `mark` says which model output the event is, if it is one (see worker.replay); readers do not see it.
local function put(id, seq, event, mark)
  if mark and mark ~= '' then
    redis.call('XADD', log_key(id), seq .. '-0', 'e', event, 'm', mark)
  else
    redis.call('XADD', log_key(id), seq .. '-0', 'e', event)
  end
end

-- Log a status that the platform itself sets.
local function put_status(id, seq, fields, time)
  fields.type = 'status'
  fields.at = time
  put(id, seq, cjson.encode(fields))
end

-- How many bytes of a node are kept for what waits for another version than this one: an instance gave them up for it.
local function kept_bytes(node, version, time)
  local f = redis.call('HMGET', node_key(node), 'kept_for', 'kept_bytes', 'kept_until')
  if not f[1] or f[1] == version or tonumber(f[3]) < time then return 0, '' end
  if redis.call('ZCARD', queue_key(f[1])) == 0 then return 0, '' end
  return tonumber(f[2]), f[1]
end

-- Whether a node takes nothing new: it drains, or is in a state that only another release knows.
local function draining(node)
  local state = redis.call('HGET', node_key(node), 'state')
  return state and state ~= 'ready'
end

-- An instance with its slots, read once and changed in memory until `settle`; nil: it is gone.
local function read_instance(id)
  local f = redis.call('HMGET', instance_key(id), 'state', 'version', 'concurrency', 'node')
  if not f[1] then return nil end
  local held = redis.call('HLEN', leases_key(id))
  return {id = id, state = f[1], version = f[2], concurrency = tonumber(f[3]), node = f[4], held = held, was = held}
end

-- Keep an instance's place among those of its version that newcomers may lease: by free slots, while it is ready.
local function place(instance)
  local free = instance.state == 'ready' and instance.concurrency - instance.held or 0
  if free > 0 then
    redis.call('ZADD', open_key(instance.version), free, instance.id)
  else
    redis.call('ZREM', open_key(instance.version), instance.id)
  end
end

-- Lease an instance's slots no more.
local function drain(instance)
  redis.call('HSET', instance_key(instance.id), 'state', 'draining')
  instance.state = 'draining'
  place(instance)
end

-- Write down what became of an instance's slots.
local function settle(instance, time)
  if not instance or instance.held == instance.was then return end
  if instance.was == 0 then
    redis.call('HDEL', instance_key(instance.id), 'idle_since')
  elseif instance.held == 0 then
    redis.call('HSET', instance_key(instance.id), 'idle_since', text(time))
  end
  place(instance)
end

-- The places, among 4,096, of the beginnings of a prompt: the first two characters of each. There are always four of 8
-- characters, one after the other, longest first (see served.py).
local function places(beginnings)
  return beginnings:sub(1, 2), beginnings:sub(9, 10), beginnings:sub(17, 18), beginnings:sub(25, 26)
end

-- Note that an instance is given a prompt with these beginnings (nil: none that count). They take their places from
-- whichever had them; all are forgotten with the version's last instance. The first field, of more than 64 characters, has
-- Redis keep the hash as a table from the start: else it is a list, in which a look-up goes through up to 512 entries.
local WIDE = '-----------------------------------------------------------------'
local function remember(version, beginnings, instance)
  if not beginnings then return end
  local known, a, b, c, d = beginnings .. instance, places(beginnings)
  redis.call('HSET', served_key(version), WIDE, '', a, known, b, known, c, known, d, known)
end

-- Put an invocation on the list of the node where it holds a slot: its agent takes up what comes there (worker/calls.py).
local function call(id, epoch, instance, node)
  redis.call('RPUSH', calls_key(node), cjson.encode({id, tostring(epoch), instance}))
end

-- An assignment as Python reads it. The owner's first append has next_seq: `begin` writes one status before it.
local function assignment(id, epoch, instance, node, seq) return {id, epoch, instance, node, seq + 2} end

-- Give an invocation, which has had so many attempts and events and whose prompt has these beginnings (nil: none that
-- count), a slot, and tell its node; `settle` the instance afterwards. `fields`: more of its record.
local function lease(id, instance, epoch, attempts, seq, time, beginnings, fields)
  seq = seq + 1
  remember(instance.version, beginnings, instance.id)
  redis.call('HSET', leases_key(instance.id), id, epoch)
  redis.call('HSET', inv_key(id), 'state', 'assigned', 'node', instance.node, 'instance', instance.id, 'seq', seq,
    'attempts', attempts + 1, 'assigned_at', text(time), unpack(fields or {}))
  redis.call('ZADD', ACTIVE_KEY, text(time), id)
  put_status(id, seq, {state = 'assigned', node = instance.node, instance = instance.id, attempt = attempts + 1},
    time)
  call(id, epoch, instance.id, instance.node)
  instance.held = instance.held + 1
  return assignment(id, epoch, instance.id, instance.node, seq)
end

-- Lease up to `most` free slots of an instance to the head of its version's queue, in order; `settle` it afterwards.
local function fill(instance, most, time)
  local leased, tag = {}, nil
  if not instance or (instance.state ~= 'ready' and instance.state ~= 'loaded') then return leased end
  local queue = queue_key(instance.version)
  if redis.call('ZCARD', queue) == 0 or draining(instance.node) then return leased end
  while #leased < most and instance.held < instance.concurrency do
    local head = redis.call('ZPOPMIN', queue)[1]
    if not head then break end
    local f = redis.call('HMGET', inv_key(head), 'epoch', 'attempts', 'seq', 'reason', 'tag', 'beginnings')
    if f[4] then redis.call('HDEL', inv_key(head), 'reason') end
    leased[#leased + 1] = lease(head, instance, f[1], tonumber(f[2]), tonumber(f[3]), time, f[6])
    tag = f[5]
  end
  local before = tag and redis.call('HGET', fair_key(instance.version), ':virtual')
  if tag and tonumber(tag) > tonumber(before or 0) then
    redis.call('HSET', fair_key(instance.version), ':virtual', tag)
  end
  return leased
end

-- Give back the slot that an invocation holds, if it holds one; returns the instance, for `settle`.
local function free(id, instance)
  if not instance then return nil end
  local freed = redis.call('HDEL', leases_key(instance), id)
  local found = read_instance(instance)
  if found then found.was = found.held + freed end
  return found
end

local function enqueue(id, version, tag, arrival, deadline)
  redis.call('ZADD', queue_key(version), exact(tag + arrival * 2 ^ -33), id)
  redis.call('SADD', QUEUES_KEY, version)
  redis.call('ZADD', DEADLINES_KEY, text(deadline), id)
end

-- Note since when whoever follows the invocation sees nothing new, if it has seen something.
local function note_cut(inv)
  local f = redis.call('HMGET', inv, 'last_output_at', 'cut_at')
  if f[1] and not f[2] then redis.call('HSET', inv, 'cut_at', f[1]) end
end

-- An epoch that nobody was given or offered before: so what one that came too late says concerns nobody else.
local function fresh_epoch(inv)
  local f = redis.call('HMGET', inv, 'epoch', 'offered')
  return math.max(tonumber(f[1]), tonumber(f[2] or 0)) + 1
end

-- Whether an instance (still) holds the slot that was reserved there to take an invocation over.
local function keeps_slot(id, instance) return redis.call('HEXISTS', leases_key(instance), id) == 1 end

-- Note why a move that was begun did not take place; the last few are kept.
local function note_failed_move(inv, to, reason, time)
  local found = cjson.decode(redis.call('HGET', inv, 'failed_moves') or '[]')
  if #found >= KEPT_FAILED_MOVES then table.remove(found, 1) end
  found[#found + 1] = {at = time, node = redis.call('HGET', instance_key(to), 'node') or nil, reason = reason}
  redis.call('HSET', inv, 'failed_moves', cjson.encode(found))
end

-- Give back the slot that was reserved to take an invocation over, which is not to be, for a reason.
local function end_move(id, to, reason, time)
  note_failed_move(inv_key(id), to, reason, time)
  local instance = free(id, to)
  fill(instance, 1, time)
  settle(instance, time)
  redis.call('HDEL', inv_key(id), 'moving_to')
  redis.call('ZREM', MOVES_KEY, id)
end

-- Take an assigned or running invocation from its owner and put it back where it was in the queue.
local function requeue(id, reason, time)
  local inv = inv_key(id)
  note_cut(inv)
  local f = redis.call('HMGET', inv, 'version', 'instance', 'tag', 'arrival', 'created_at', 'start_seconds',
    'total_seconds', 'moving_to')
  if f[8] then end_move(id, f[8], 'it was queued again: ' .. reason, time) end
  settle(free(id, f[2]), time)
  local epoch = fresh_epoch(inv)
  redis.call('HSET', inv, 'state', 'queued', 'reason', reason, 'epoch', epoch)
  redis.call('HDEL', inv, 'node', 'instance', 'assigned_at', 'started_at')
  redis.call('ZREM', ACTIVE_KEY, id)
  redis.call('ZREM', MOVES_KEY, id)
  local deadline = math.min(time + tonumber(f[6]), tonumber(f[5]) + tonumber(f[7]))
  enqueue(id, f[1], tonumber(f[3]), tonumber(f[4]), deadline)
  put_status(id, redis.call('HINCRBY', inv, 'seq', 1), {state = 'queued', reason = reason, epoch = epoch}, time)
end

-- Note that a call of a function was accepted, and the gap without any before it.
local function note_call(fn, id, time)
  local calls, gaps = traffic_key(fn, 'calls'), traffic_key(fn, 'gaps')
  redis.call('SADD', traffic_key(fn, 'live'), id)
  local idle_since = redis.call('GETDEL', traffic_key(fn, 'idle_since'))
  if idle_since then
    redis.call('LPUSH', gaps, text(math.max(0, time - idle_since)))
    redis.call('LTRIM', gaps, 0, 199)
    redis.call('EXPIRE', gaps, TRAFFIC_SECONDS)
  end
  if redis.call('LPUSH', calls, text(time)) > 16 then redis.call('LTRIM', calls, 0, 15) end
  if idle_since then redis.call('EXPIRE', calls, TRAFFIC_SECONDS) end
end

-- Note that a call of a function ended; the last one leaves it idle, and a fresh queue.
local function note_end(fn, version, id, time)
  local live = traffic_key(fn, 'live')
  if redis.call('SREM', live, id) == 0 or redis.call('SCARD', live) > 0 then return end
  redis.call('SET', traffic_key(fn, 'idle_since'), text(time), 'EX', TRAFFIC_SECONDS)
  redis.call('EXPIRE', traffic_key(fn, 'calls'), TRAFFIC_SECONDS)
  redis.call('DEL', fair_key(version))
end

-- Make the instance that an invocation was offered, and that keeps the slot, its owner.
local function hand_over(id, time)
  local inv = inv_key(id)
  local f = redis.call('HMGET', inv, 'instance', 'node', 'moving_to', 'offered', 'seq', 'version', 'beginnings')
  local from = free(id, f[1])
  fill(from, 1, time)
  settle(from, time)
  note_cut(inv)
  remember(f[6], f[7], f[3])
  local node = redis.call('HGET', instance_key(f[3]), 'node')
  redis.call('HSET', inv, 'state', 'running', 'epoch', f[4], 'instance', f[3], 'node', node,
    'left', f[2], 'seq', tonumber(f[5]) + 1)
  redis.call('HINCRBY', inv, 'moves', 1)
  redis.call('HDEL', inv, 'moving_to')
  redis.call('ZREM', MOVES_KEY, id)
  redis.call('ZADD', ACTIVE_KEY, text(time), id)
  put_status(id, tonumber(f[5]) + 1, {state = 'running', node = node, instance = f[3], moved_from = f[2],
    epoch = tonumber(f[4])}, time)
end

local function expire_ended(id, ttl, idempotency, records)
  redis.call('PEXPIRE', inv_key(id), ttl)
  redis.call('PEXPIRE', log_key(id), ttl)
  if records then redis.call('PEXPIRE', records_key(id), ttl) end
  if idempotency then redis.call('PEXPIRE', idempotency, ttl) end
end

-- No object needs an invocation any more: it can be looked up for `ms` after its end, or as long as its idempotency key
-- is remembered, and no longer. `ms` of 0: what has ended is forgotten now, whatever else was promised.
local function release(id, ms, time)
  local f = id and redis.call('HMGET', inv_key(id), 'state', 'ended_at', 'idempotency', 'key')
  if not f or not f[1] or (f[3] and ms > 0) then return end
  if ENDED[f[1]] then
    local left = ms > 0 and math.max(1, math.floor(ms - 1000 * (time - tonumber(f[2])))) or 0
    local bytes = redis.call('HGET', inv_key(id), 'held') or 0
    recount_held(inv_key(id), f[4] or '', bytes, left > 0 and gone_at(time, left) or nil)
    for _, key in ipairs({inv_key(id), log_key(id), records_key(id)}) do redis.call('PEXPIRE', key, left) end
  else
    redis.call('HSET', inv_key(id), 'ttl', whole(math.max(1, ms)))
  end
end

-- End an invocation: `event` is its terminal event, `fields` more of its record. What was asked is forgotten: nobody runs
-- it again, and what tells a repeated call from another is with its idempotency key. Returns what got its slot, or false.
local function close(id, state, event, fields, time)
  local inv = inv_key(id)
  local f = redis.call('HMGET', inv, 'version', 'instance', 'ttl', 'idempotency', 'webhook', 'function', 'seq',
    'key', 'moving_to', 'offered', 'records')
  local seq = tonumber(f[7]) + 1
  if f[9] then end_move(id, f[9], 'it ended first', time) end
  if f[10] then redis.call('ZREM', MOVES_KEY, id) end
  put(id, seq, event)
  redis.call('HSET', inv, 'state', state, 'ended_at', text(time), 'seq', seq, unpack(fields))
  redis.call('HDEL', inv, 'request', 'reason')
  redis.call('ZREM', DEADLINES_KEY, id)
  expire_ended(id, f[3], f[4], f[11] and f[11] ~= '0')
  recount_held(inv, f[8] or '', stored_bytes({inv, log_key(id), records_key(id)}), gone_at(time, tonumber(f[3])))
  if f[5] then redis.call('ZADD', WEBHOOKS_KEY, text(time), id) end
  note_end(f[6], f[1], id, time)
  if not f[2] then
    redis.call('ZREM', queue_key(f[1]), id)
    return false
  end
  redis.call('ZREM', ACTIVE_KEY, id)
  local instance = free(id, f[2])
  local following = fill(instance, 1, time)[1] or false
  settle(instance, time)
  return following
end

-- Whether an invocation is alive and, where an epoch is given (not ''), still at this epoch.
local function current(id, epoch)
  local f = redis.call('HMGET', inv_key(id), 'state', 'epoch')
  return f[1] and not ENDED[f[1]] and (epoch == '' or epoch == f[2])
end
