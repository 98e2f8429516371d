-- Return {version, how many wait, ...} of every version that something waits for.
local found = {}
for _, version in ipairs(redis.call('SMEMBERS', QUEUES_KEY)) do
  local length = redis.call('ZCARD', queue_key(version))
  if length == 0 then
    redis.call('SREM', QUEUES_KEY, version)
  else
    found[#found + 1] = version
    found[#found + 1] = length
  end
end
return found
