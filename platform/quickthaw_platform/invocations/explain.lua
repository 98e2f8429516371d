-- Say why a version's queue waits. ARGV: version, reason, seconds until an instance is ready ('': unknown), TTL (ms).
local key = 'qt:version:' .. ARGV[1] .. ':waits'
redis.call('DEL', key)
redis.call('HSET', key, 'reason', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', key, 'ready_at', text(now() + tonumber(ARGV[3]))) end
redis.call('PEXPIRE', key, ARGV[4])
