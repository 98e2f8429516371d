-- End an invocation as cancelled, whoever owns it. ARGV: id, terminal event, then record fields.
-- Returns {'done', next assignment or false, node, instance} | {'ended'} | {'unknown'}.
local id = ARGV[1]
local f = redis.call('HMGET', inv_key(id), 'state', 'node', 'instance')
if not f[1] then return {'unknown'} end
if ENDED[f[1]] then return {'ended'} end
return {'done', close(id, 'cancelled', ARGV[2], {unpack(ARGV, 3)}, now()), f[2], f[3]}
