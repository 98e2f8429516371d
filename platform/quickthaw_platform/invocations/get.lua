-- ARGV: id, then record fields.
-- Returns {their values, position or false, {why it waits, seconds until it is served}, terminal event}.
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
local position = redis.call('ZRANK', queue_key(f[2]), id) + 1
local w = redis.call('HMGET', waits_key(f[2]), 'reason', 'ready_at', 'slots', 'service_seconds')
-- The first `slots` are served when the instance is ready, the next as many a service later, and so on.
local estimate = w[2] and math.max(0, tonumber(w[2]) - now())
local slots, service = tonumber(w[3] or 0) or 0, tonumber(w[4] or 0) or 0
if estimate and slots > 0 then estimate = estimate + math.floor((position - 1) / slots) * service end
return {values, position, {w[1], estimate and text(estimate)}, false}
