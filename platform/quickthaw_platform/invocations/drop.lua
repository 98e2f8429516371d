-- Forget an object and, where it has ended, its invocation with all it put out. ARGV: object. Returns 1 where it was
-- there, else 0.
local object = stored_key(ARGV[1])
local f = redis.call('HMGET', object, 'kind', 'key', 'invocation')
if not f[1] then return 0 end
redis.call('ZREM', stored_index_key(f[1], f[2]), ARGV[1])
recount_held(object, f[2], 0)
redis.call('DEL', object)
release(f[3], 0, now())
return 1
