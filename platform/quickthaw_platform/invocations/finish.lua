-- End an invocation. ARGV: id, epoch ('': any), state, terminal event, its seq ('': the next), then record fields.
-- Returns {'done', next assignment or false} | {'again'} (a repeated call) | {'stale'} | {'unknown'} | {'gap',
-- last seq, last record}.
local id, epoch, state, event, seq = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local f = redis.call('HMGET', inv_key(id), 'state', 'epoch', 'seq', 'records')
if not f[1] then return {'unknown'} end
if ENDED[f[1]] then return {f[1] == state and f[2] == epoch and 'again' or 'stale'} end
if epoch ~= '' and epoch ~= f[2] then return {'stale'} end
if seq ~= '' and tonumber(seq) ~= tonumber(f[3]) + 1 then return {'gap', tonumber(f[3]), tonumber(f[4] or 0)} end
return {'done', close(id, state, event, {unpack(ARGV, 6)}, now())}
