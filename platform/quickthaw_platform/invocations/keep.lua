-- Keep an object beside its invocation. ARGV: object, key that owns it ('': none), kind, how many objects of the kind a
-- key may have, ms that the object is kept, ms that the invocation of one that is forgotten may be looked up after its
-- end, then names and values of the object. Returns 1, or 0 where the object is there already: nothing changes then.
-- The key's oldest ones beyond the limit are forgotten, and those that have expired drop out of the index.
local id, owner, kind = ARGV[1], ARGV[2], ARGV[3]
local most, kept_ms, ended_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local object, index = stored_key(id), stored_index_key(kind, owner)
if redis.call('EXISTS', object) == 1 then return 0 end
local time = now()
redis.call('HSET', object, 'kind', kind, 'key', owner, 'created_at', text(time), unpack(ARGV, 7))
redis.call('PEXPIRE', object, kept_ms)
recount_held(object, owner, stored_bytes({object}), gone_at(time, kept_ms))
redis.call('ZREMRANGEBYSCORE', index, '-inf', text(time - kept_ms / 1000))
redis.call('ZADD', index, text(time), id)
redis.call('PEXPIRE', index, kept_ms)
for _, oldest in ipairs(redis.call('ZRANGE', index, 0, -1 - most)) do
  release(redis.call('HGET', stored_key(oldest), 'invocation'), ended_ms, time)
  recount_held(stored_key(oldest), owner, 0)
  redis.call('DEL', stored_key(oldest))
  redis.call('ZREM', index, oldest)
end
return 1
