-- Give up taking over an invocation. ARGV: id, the offered epoch, why. One that is not offered (any more) is left alone.
local f = redis.call('HMGET', inv_key(ARGV[1]), 'moving_to', 'offered')
if f[1] and f[2] == ARGV[2] then end_move(ARGV[1], f[1], ARGV[3], now()) end
