-- Forget a dead node. ARGV: node, the last_seen it was found dead with. Returns 0 when it lives again or has instances.
local node = ARGV[1]
local seen = redis.call('HGET', node_key(node), 'last_seen') or '0'
if seen ~= ARGV[2] or redis.call('SCARD', node_instances_key(node)) > 0 then return 0 end
redis.call('DEL', node_key(node), calls_key(node))
redis.call('SREM', NODES_KEY, node)
return 1
