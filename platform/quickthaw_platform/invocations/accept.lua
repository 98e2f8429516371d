-- Take over an invocation that was offered. ARGV: id, epoch (the offered one), instance, seq and position of the last
-- event and record that the caller has. May be called again. Returns {'stale'} when it has ended or is not offered any
-- more, else {'done', seq of the first append, log entries after that seq, records after that position, the node that it
-- left, seconds since its last output ('': it has had none)}.
local id, epoch, instance, time = ARGV[1], ARGV[2], ARGV[3], now()
local inv = inv_key(id)
local f = redis.call('HMGET', inv, 'state', 'epoch', 'instance', 'moving_to', 'node', 'left', 'offered')
local left = f[6]
if f[1] == 'running' and f[4] == instance and f[7] == epoch and keeps_slot(id, instance) then
  hand_over(id, time)
  left = f[5]
elseif f[1] ~= 'running' or f[2] ~= epoch or f[3] ~= instance then
  return {'stale'}
elseif not f[4] then  -- else it is on its way elsewhere by now, which is watched
  redis.call('ZREM', MOVES_KEY, id)
end
local seq, position = tonumber(ARGV[4]) + 1, tonumber(ARGV[5]) + 1
local log = redis.call('XRANGE', log_key(id), seq .. '-0', '+')
local records = redis.call('XRANGE', records_key(id), position .. '-0', '+')
f = redis.call('HMGET', inv, 'seq', 'last_output_at')
local silent = f[2] and text(time - tonumber(f[2])) or ''
return {'done', tonumber(f[1]) + 1, log, records, left, silent}
