-- Set fields of a kept object. ARGV: object, then names and values. Returns 1 where it is there, else 0.
local object = stored_key(ARGV[1])
local f = redis.call('HMGET', object, 'key', 'held_until')
if not f[1] then return 0 end
redis.call('HSET', object, unpack(ARGV, 2))
if f[2] then recount_held(object, f[1], stored_bytes({object}), f[2]) end
return 1
