-- Set fields of a kept object. ARGV: object, then names and values. Returns 1 where it is there, else 0.
if redis.call('EXISTS', stored_key(ARGV[1])) == 0 then return 0 end
redis.call('HSET', stored_key(ARGV[1]), unpack(ARGV, 2))
return 1
