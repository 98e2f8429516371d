-- Fail what waits for a version, in order of arrival. ARGV: version, most at once, terminal event, then record fields.
-- Returns their ids.
local ids = redis.call('ZRANGE', queue_key(ARGV[1]), 0, tonumber(ARGV[2]) - 1)
local time = now()
for _, id in ipairs(ids) do close(id, 'failed', ARGV[3], {unpack(ARGV, 4)}, time) end
return ids
