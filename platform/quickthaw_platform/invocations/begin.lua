-- assigned -> running. ARGV: id, epoch, node, instance, then fields of the record. Returns {the seq of the owner's first
-- append, Redis' time, the fields' values}; {0}: not its owner.
local id, epoch, node, instance = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local inv = inv_key(id)
local time = now()
local f = redis.call('HMGET', inv, 'state', 'epoch', 'instance', 'seq', 'created_at', 'total_seconds', 'node')
if f[2] ~= epoch or f[3] ~= instance or f[7] ~= node then return {0} end
local values = #ARGV > 4 and redis.call('HMGET', inv, unpack(ARGV, 5)) or {}
if f[1] == 'running' then return {tonumber(f[4]) + 1, text(time), values} end
if f[1] ~= 'assigned' then return {0} end
local seq = tonumber(f[4]) + 1
redis.call('HSET', inv, 'state', 'running', 'started_at', text(time), 'seq', seq)
redis.call('ZADD', DEADLINES_KEY, text(tonumber(f[5]) + tonumber(f[6])), id)
put_status(id, seq, {state = 'running', node = node, instance = instance}, time)
return {seq + 1, text(time), values}
