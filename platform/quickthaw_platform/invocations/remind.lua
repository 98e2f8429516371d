-- Whether an instance's node is to be told again what to do with it. ARGV: instance, seconds since the last time.
local key = instance_key(ARGV[1])
local told, time = redis.call('HGET', key, 'told_at'), now()
if redis.call('EXISTS', key) == 0 or time - tonumber(told or 0) < tonumber(ARGV[2]) then return 0 end
redis.call('HSET', key, 'told_at', text(time))
return 1
