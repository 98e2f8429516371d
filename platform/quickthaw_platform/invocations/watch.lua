-- Note that the nodes are being watched, and return those that are dead: {node, last_seen, ...}.
-- ARGV: seconds between two rounds, heartbeat TTL. After a gap of more than three rounds (no controller, no Redis, or
-- Redis' clock has stepped) the watch starts anew: silence that nobody could have heard kills no node.
local time = now()
local watch = redis.call('HMGET', 'qt:controller:watch', 'last_sweep', 'watching_since')
local last, since = tonumber(watch[1] or 0), tonumber(watch[2] or 0)
if time < last or time - last > 3 * ARGV[1] then since = time end
redis.call('HSET', 'qt:controller:watch', 'last_sweep', text(time), 'watching_since', text(since))
local dead = {}
for _, node in ipairs(redis.call('SMEMBERS', 'qt:nodes')) do
  local seen = redis.call('HGET', node_key(node), 'last_seen') or '0'
  local heard = tonumber(seen) > time and since or tonumber(seen)
  if time - math.max(heard, since) > tonumber(ARGV[2]) then
    dead[#dead + 1] = node
    dead[#dead + 1] = seen
  end
end
return dead
