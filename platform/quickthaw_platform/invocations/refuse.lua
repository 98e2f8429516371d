-- Fail an invocation that still waits. ARGV: id, terminal event, then record fields. Returns 1, or 0 where it does not.
local id = ARGV[1]
if redis.call('HGET', inv_key(id), 'state') ~= 'queued' then return 0 end
close(id, 'failed', ARGV[2], {unpack(ARGV, 3)}, now())
return 1
