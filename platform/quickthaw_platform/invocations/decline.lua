-- Give up taking over an invocation. ARGV: id, instance. Returns {what got the slot or false}; {} when it is not offered
-- to that instance.
local to = redis.call('HGET', inv_key(ARGV[1]), 'moving_to')
if to ~= ARGV[2] then return {} end
return {end_move(ARGV[1], to, now())}
