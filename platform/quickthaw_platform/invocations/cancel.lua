-- End an invocation as cancelled, whoever owns it. ARGV: id, 'forget' where its idempotency key is to mean nothing any more,
-- terminal event, then record fields.
-- Returns {'done', next assignment or false, node, instance} | {'ended'} | {'unknown'}.
local id, forget = ARGV[1], ARGV[2] == 'forget'
local f = redis.call('HMGET', inv_key(id), 'state', 'node', 'instance', 'idempotency')
if not f[1] then return {'unknown'} end
if forget and f[4] and redis.call('HGET', f[4], 'invocation') == id then redis.call('DEL', f[4]) end
if ENDED[f[1]] then return {'ended'} end
return {'done', close(id, 'cancelled', ARGV[3], {unpack(ARGV, 4)}, now()), f[2], f[3]}
