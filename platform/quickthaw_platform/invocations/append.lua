-- Write events of the owner. ARGV: id, epoch, seq of the first, '1' when one is a chunk, then the events.
-- Events that are in the log already are skipped: a call may come twice when its answer was lost.
-- Returns 1 done, 0 not the owner (any more), or {last seq in the log} when there would be a gap.
local id, epoch, first = ARGV[1], ARGV[2], tonumber(ARGV[3])
local inv = inv_key(id)
local f = redis.call('HMGET', inv, 'state', 'epoch', 'seq', 'first_output_at')
if f[1] ~= 'running' or f[2] ~= epoch then return 0 end
local last = tonumber(f[3])
if first > last + 1 then return {last} end
for i = math.max(5, 5 + last + 1 - first), #ARGV do
  last = last + 1
  put(id, last, ARGV[i])
end
redis.call('HSET', inv, 'seq', last)
if ARGV[4] == '1' and not f[4] then redis.call('HSET', inv, 'first_output_at', text(now())) end
return 1
