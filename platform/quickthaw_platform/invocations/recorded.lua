-- Return what a later owner runs an invocation again with. ARGV: id, seq and position after which. Returns
-- {log entries, records, seq of the last event}.
local id = ARGV[1]
local log = redis.call('XRANGE', log_key(id), (tonumber(ARGV[2]) + 1) .. '-0', '+')
local records = redis.call('XRANGE', records_key(id), (tonumber(ARGV[3]) + 1) .. '-0', '+')
return {log, records, tonumber(redis.call('HGET', inv_key(id), 'seq') or 0)}
