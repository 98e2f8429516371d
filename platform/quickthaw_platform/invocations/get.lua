-- ARGV: id, then record fields. Returns {their values, position or false, why the version waits, terminal event}.
local id = ARGV[1]
local inv = inv_key(id)
local f = redis.call('HMGET', inv, 'state', 'version')
if not f[1] then return false end
local values = redis.call('HMGET', inv, unpack(ARGV, 2))
if ENDED[f[1]] then
  local last = redis.call('XREVRANGE', log_key(id), '+', '-', 'COUNT', 1)[1]
  return {values, false, {}, last and last[2][2] or false}
end
if f[1] ~= 'queued' then return {values, false, {}, false} end
local waits = redis.call('HMGET', 'qt:version:' .. f[2] .. ':waits', 'reason', 'ready_at')
if waits[2] then waits[2] = text(math.max(0, tonumber(waits[2]) - now())) end
return {values, redis.call('ZRANK', queue_key(f[2]), id) + 1, waits, false}
