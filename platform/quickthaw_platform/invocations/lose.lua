-- The owner of an invocation is gone: queue it again when it has put out nothing and has a try left, else fail it.
-- ARGV: id, epoch, reason, most attempts, terminal event, then record fields.
-- Returns {'requeued'} | {'failed', next assignment or false} | {'stale'}.
local id, epoch = ARGV[1], ARGV[2]
local f = redis.call('HMGET', inv_key(id), 'state', 'first_output_at', 'attempts')
local owned = f[1] == 'assigned' or f[1] == 'running'
if not owned or not current(id, epoch) then return {'stale'} end
if not f[2] and tonumber(f[3]) < tonumber(ARGV[4]) then
  requeue(id, ARGV[3], now())
  return {'requeued'}
end
return {'failed', close(id, 'failed', ARGV[5], {unpack(ARGV, 6)}, now())}
