-- Take an invocation that has put out nothing from its owner and queue it again. ARGV: id, epoch, reason. Returns 1 or 0.
local id, epoch = ARGV[1], ARGV[2]
local f = redis.call('HMGET', inv_key(id), 'state', 'first_output_at')
local owned = f[1] == 'assigned' or f[1] == 'running'
if not owned or f[2] or not current(id, epoch) then return 0 end
requeue(id, ARGV[3], now())
return 1
