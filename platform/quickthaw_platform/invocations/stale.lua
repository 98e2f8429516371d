-- Look at the assigned and running invocations that nobody looked at for a while. ARGV: seconds, most at once.
-- One whose owner has not begun is put on its node's list again: what took it from there may have died. Returns
-- {id, epoch} of each whose instance is gone. Such an orphan stays due, so that a crash of the caller loses none.
local time = now()
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ACTIVE_KEY, '-inf', text(time - ARGV[1]), 'LIMIT', 0, ARGV[2])) do
  local f = redis.call('HMGET', inv_key(id), 'state', 'epoch', 'instance', 'node')
  local owned = f[1] == 'assigned' or f[1] == 'running'
  if not owned then
    redis.call('ZREM', ACTIVE_KEY, id)
  elseif redis.call('HGET', leases_key(f[3]), id) ~= f[2] then
    found[#found + 1] = {id, f[2]}
  else
    redis.call('ZADD', ACTIVE_KEY, text(time), id)
    if f[1] == 'assigned' then call(id, f[2], f[3], f[4]) end
  end
end
return found
