-- Give up taking over an invocation. ARGV: id, the offered epoch, why. Returns {what got the slot or false}; {} when that is
-- not offered (any more).
local f = redis.call('HMGET', inv_key(ARGV[1]), 'moving_to', 'offered')
if not f[1] or f[2] ~= ARGV[2] then return {} end
return {end_move(ARGV[1], f[1], ARGV[3], now())}
