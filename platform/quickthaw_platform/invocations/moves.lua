-- End the moves whose time is up. An invocation that lost its owner meanwhile was left to an instance that has not taken
-- it up: it is queued again. ARGV: the reason that it shows. Returns the invocations.
local time = now()
local late = redis.call('ZRANGEBYSCORE', MOVES_KEY, '-inf', text(time), 'LIMIT', 0, 100)
for _, id in ipairs(late) do
  local f = redis.call('HMGET', inv_key(id), 'moving_to', 'state')
  if f[1] then
    end_move(id, f[1], ARGV[1], time)
  elseif f[2] == 'running' then
    requeue(id, ARGV[1], time)
  else
    redis.call('ZREM', MOVES_KEY, id)
  end
end
return late
