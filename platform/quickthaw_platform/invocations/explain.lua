-- Say why a version's queue waits. ARGV: version, TTL (ms), reason, seconds until an instance is ready, how many slots
-- serve the queue then, seconds that an invocation holds one ('' or 0: unknown).
local key = waits_key(ARGV[1])
redis.call('DEL', key)
redis.call('HSET', key, 'reason', ARGV[3], 'slots', ARGV[5], 'service_seconds', ARGV[6])
if ARGV[4] ~= '' then redis.call('HSET', key, 'ready_at', text(now() + tonumber(ARGV[4]))) end
redis.call('PEXPIRE', key, ARGV[2])
