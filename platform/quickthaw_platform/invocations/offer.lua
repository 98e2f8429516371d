-- Reserve a slot of another instance for a running invocation: its node may take it over (`accept`) until the time is
-- up. ARGV: id, instance, seconds. Returns {'offered', the epoch that it would have there, node} | {what forbids it}.
local id, to, time = ARGV[1], ARGV[2], now()
local inv = inv_key(id)
local f = redis.call('HMGET', inv, 'state', 'node', 'resumable', 'moving_to', 'version')
if not f[1] then return {'unknown'} end
if f[1] ~= 'running' then return {f[1]} end
if f[3] == '0' then return {'not resumable'} end
-- One that was left to an instance (see lose.lua) may be offered again when that has taken it up, or is late: the time by
-- which it must have is kept where that of the offer would stand.
if f[4] or redis.call('ZSCORE', MOVES_KEY, id) then return {'moving'} end
local instance = read_instance(to)
if not instance or instance.version ~= f[5] then return {'gone'} end
if instance.node == f[2] then return {'there'} end
if instance.state == 'draining' or draining(instance.node) then return {'draining'} end
if instance.held >= instance.concurrency then return {'full'} end
local epoch = fresh_epoch(inv)
redis.call('HSET', leases_key(to), id, epoch)
instance.held = instance.held + 1
settle(instance, time)
redis.call('HSET', inv, 'moving_to', to, 'offered', epoch)
redis.call('ZADD', MOVES_KEY, text(time + tonumber(ARGV[3])), id)
return {'offered', epoch, instance.node}
