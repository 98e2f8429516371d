-- Move an instance forward in its life. ARGV: instance, state, the version that its room is for when it is gone ('':
-- none). Returns 1 when it is in that state or was past it; 0 when it is unknown, or drains and was to serve.
local ORDER = {starting = 1, loaded = 2, ready = 3, draining = 4}
local key, target = instance_key(ARGV[1]), ARGV[2]
local instance = read_instance(ARGV[1])
local state = instance and instance.state
if not state or (state == 'draining' and target ~= 'draining') then return 0 end
if ORDER[target] > ORDER[state] then
  redis.call('HSET', key, 'state', target)
  instance.state = target
  if ARGV[3] ~= '' then redis.call('HSET', key, 'room_for', ARGV[3]) end
  if target ~= 'draining' then redis.call('DEL', failure_key(instance.version)) end
  place(instance)
end
if instance.held == 0 then redis.call('HSETNX', key, 'idle_since', text(now())) end
return 1
