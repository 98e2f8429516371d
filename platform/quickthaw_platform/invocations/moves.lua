-- End the moves whose time is up. Returns the invocations.
local time = now()
local late = redis.call('ZRANGEBYSCORE', MOVES_KEY, '-inf', text(time), 'LIMIT', 0, 100)
for _, id in ipairs(late) do
  local to = redis.call('HGET', inv_key(id), 'moving_to')
  if to then end_move(id, to, time) else redis.call('ZREM', MOVES_KEY, id) end
end
return late
