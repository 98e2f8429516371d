-- Return what has a limit that ran out: {id, start_seconds, total_seconds, reason} each. ARGV: most at once.
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES_KEY, '-inf', text(now()), 'LIMIT', 0, ARGV[1])) do
  local f = redis.call('HMGET', inv_key(id), 'state', 'start_seconds', 'total_seconds', 'reason', 'version')
  if f[1] then
    local why = f[4] or redis.call('HGET', waits_key(f[5]), 'reason')
    found[#found + 1] = {id, f[2], f[3], why or ''}
  else
    redis.call('ZREM', DEADLINES_KEY, id)
  end
end
return found
