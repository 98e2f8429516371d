-- End an invocation as timed out, if its limit has still run out: `begin` may just have moved it.
-- ARGV: id, then event and error of a start timeout, then those of a total timeout.
-- Returns {'done', next assignment or false, node, instance} | {'not due'}.
local id = ARGV[1]
local time = now()
local due = redis.call('ZSCORE', DEADLINES_KEY, id)
if not due or tonumber(due) > time then return {'not due'} end
local f = redis.call('HMGET', inv_key(id), 'state', 'node', 'instance', 'created_at', 'total_seconds')
local total = f[1] == 'running' or time >= tonumber(f[4]) + tonumber(f[5])
local event, failure = ARGV[2], ARGV[3]
if total then event, failure = ARGV[4], ARGV[5] end
return {'done', close(id, 'timed_out', event, {'error', failure}, time), f[2], f[3]}
