-- Note that the nodes are being watched, and return those that are dead: {node, last_seen, ...}. They count as draining
-- from then on, until they are forgotten or beat again: nothing new goes there while what they had is settled.
-- ARGV: seconds between two rounds, heartbeat TTL.
-- A node's silence is counted in time that was watched, and a gap between two rounds counts as one round at most. So
-- neither a pause of the controller, nor an outage of Redis, nor a step of its clock makes a node look silent, and after
-- any of them the nodes have nearly the whole TTL to be heard again.
local time, round, ttl = now(), tonumber(ARGV[1]), tonumber(ARGV[2])
local watch = redis.call('HMGET', WATCH_KEY, 'last_sweep', 'watched_seconds')
local gap = math.max(0, time - tonumber(watch[1] or time))
local watched = tonumber(watch[2] or 0) + math.min(gap, round)
redis.call('HSET', WATCH_KEY, 'last_sweep', text(time), 'watched_seconds', text(watched))

local dead, heard = {}, {}
for _, node in ipairs(redis.call('SMEMBERS', NODES_KEY)) do
  local seen = redis.call('HGET', node_key(node), 'last_seen') or '0'
  local noted = redis.call('HGET', HEARD_KEY, node) or ''
  local known, since = noted:match('^(%S+) (%S+)$')
  if known ~= seen then since = text(watched) end
  if watched - tonumber(since) > ttl then
    if seen ~= '0' then redis.call('HSET', node_key(node), 'state', 'draining') end
    dead[#dead + 1] = node
    dead[#dead + 1] = seen
  end
  heard[#heard + 1] = node
  heard[#heard + 1] = seen .. ' ' .. since
end
redis.call('DEL', HEARD_KEY)
if #heard > 0 then redis.call('HSET', HEARD_KEY, unpack(heard)) end
return dead
